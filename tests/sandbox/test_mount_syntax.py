"""How mounts are typed: docker's words, and an answer for every mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.errors import UsageError
from envgit.sandbox.mount_syntax import parse_mount, parse_tmpfs, parse_volume, split_fields
from envgit.sandbox.request import MountRequest

ANONYMOUS = re.compile(r"[0-9a-f]{64}")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("data", "a,b", 'q"uote'):
        (tmp_path / name).mkdir()
    return tmp_path


def test_volumes(here: Path) -> None:
    cwd = str(here)
    data = f"{here}/data"
    expected = {
        f"{data}:/x": MountRequest("bind", data, "/x"),
        "./data:/x": MountRequest("bind", data, "/x"),
        "./data/../data:/x/": MountRequest("bind", data, "/x"),
        ".:/x": MountRequest("bind", cwd, "/x"),
        "data:/x": MountRequest("volume", "data", "/x"),
        "db.1_x-y:/x:ro": MountRequest("volume", "db.1_x-y", "/x", True),
        "db:/x:rw": MountRequest("volume", "db", "/x"),
        "db:/x:ro,nocopy": MountRequest("volume", "db", "/x", True, (("nocopy", ""),)),
        "./data:/x:ro,noexec": MountRequest("bind", data, "/x", True, (("noexec", ""),)),
        "./data:/x:z": MountRequest("bind", data, "/x", False, (("z", ""),)),
        f"{data}://x/./y/../z": MountRequest("bind", data, "/x/z"),
    }
    assert {text: parse_volume(text, cwd) for text in expected} == expected
    one, two = parse_volume("/x", cwd), parse_volume("/x", cwd)
    assert one.kind == "volume" and one.target == "/x" and ANONYMOUS.fullmatch(one.source) and one != two


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("", "is not a volume", "-v HOST:PATH"),
        ("data", "not an absolute path", "-v HOST:PATH"),
        ("a:b:c:d", "is not a volume", "--mount type=bind"),
        ("db:x", "target 'x'", "-v db:/x"),
        ("db::ro", "is not a volume", "-v"),
        ("/none/such:/x", "/none/such, the source of a mount, does not exist", "mkdir -p /none/such"),
        ("~/data:/x", "did not expand", "-v $HOME/data:/x"),
        ("sub/data:/x", "no name of a volume", "-v ./sub/data:/x"),
        ("-db:/x", "no name of a volume", "letters"),
        ("d:/x:wo", "'wo'", "did you mean rw?"),
        ("d:/x:noexc", "'noexc'", "did you mean noexec?"),
        ("d:/x:ro,rw", "both ro and rw", "-v"),
        ("d:/x:rshared", "propagation", "leave it out"),
        ("d:/x:U", "owners", "chown"),
        ("d:/x:suid", "always nosuid", ""),
        (".:/x:nocopy", "named volumes", ""),
        (f"{'n' * 129}:/x", "no name of a volume", "at most 128"),
    ],
)
def test_mistakes_in_volumes(here: Path, text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        parse_volume(text, str(here))
    assert hint in (caught.value.hint or "")


def test_mounts(here: Path) -> None:
    data = f"{here}/data"
    expected = {
        f"type=bind,source={data},target=/x": MountRequest("bind", data, "/x"),
        f"type=bind,src={data},dst=/x,ro": MountRequest("bind", data, "/x", True),
        "type=bind,src=./data,destination=/x,readonly=true": MountRequest("bind", data, "/x", True),
        "type=bind,src=data,dst=/x,readonly=false": MountRequest("bind", data, "/x"),
        "type=bind,src=data,dst=/x,insist": MountRequest("bind", data, "/x", False, (("insist", ""),)),
        "type=bind,src=data,dst=/x,insist=true": MountRequest("bind", data, "/x", False, (("insist", ""),)),
        'type=bind,"src=./a,b",dst=/x': MountRequest("bind", f"{here}/a,b", "/x"),
        'type=bind,"src=./q""uote",dst=/x': MountRequest("bind", f'{here}/q"uote', "/x"),
        "type=volume,src=db,dst=/x,volume-nocopy": MountRequest("volume", "db", "/x", False, (("nocopy", ""),)),
        "src=db,dst=/x,volume-subpath=a/b": MountRequest("volume", "db", "/x", False, (("subpath", "a/b"),)),
        "type=tmpfs,dst=/x": MountRequest("tmpfs", "", "/x"),
        "type=tmpfs,dst=/x,tmpfs-size=64m,tmpfs-mode=0700,ro": MountRequest(
            "tmpfs", "", "/x", True, (("size", str(64 << 20)), ("mode", "0700"))
        ),
        "type=rev,src=main~2:etc,dst=/x": MountRequest("rev", "main~2:/etc", "/x", True),
        "type=rev,src=HEAD:/,dst=/x,ro": MountRequest("rev", "HEAD:/", "/x", True),
        "type=rev,src=v1:,dst=/x,noexec": MountRequest("rev", "v1:/", "/x", True, (("noexec", ""),)),
    }
    assert {text: parse_mount(text, str(here)) for text in expected} == expected
    assert ANONYMOUS.fullmatch(parse_mount("dst=/x", str(here)).source)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("", "empty", "type=bind"),
        ("type=bind,,dst=/x", "empty", "type=bind"),
        ("type=bnd,src=/a,dst=/x", "'bnd'", "did you mean bind?"),
        ("type=bind,src=data", "no target", "dst=/PATH"),
        ("type=bind,dst=/x", "no source", "src=/FOLDER"),
        ("type=rev,dst=/x", "no source", "src=REV:/PATH"),
        ("type=rev,src=HEAD,dst=/x", "which path", "src=HEAD:/PATH"),
        ("type=rev,src=HEAD:/etc,dst=/x,readonly=false", "only be mounted read-only", "leave"),
        ("type=bind,src=data,dst=x", "absolute", "dst=/x"),
        ("type=bind,src=data,dst=/x,tmpfs-size=1m", "makes no sense with type=bind", "type=tmpfs"),
        ("type=bind,src=data,dst=/x,reedonly", "'reedonly'", "="),
        ("type=bind,src=data,dst=/x,reedonly=1", "'reedonly'", "did you mean readonly?"),
        ("type=bind,src=data,dst=/x,readonly=maybe", "neither true nor false", "just readonly"),
        ("type=bind,src=data,dst=/x,bind-propagation=shared", "bind-propagation", "leave it out"),
        ("type=volume,src=/a,dst=/x", "no name of a volume", "type=bind,src=/a"),
        ("type=volume,src=a b,dst=/x", "no name of a volume", "letters"),
        ("type=volume,dst=/x,volume-subpath=a", "needs a named volume", "src=NAME"),
        ("type=tmpfs,dst=/x,tmpfs-size=big", "'big'", "size=64m"),
        ("type=tmpfs,dst=/x,tmpfs-mode=9", "'9'", "octal"),
        ("type=tmpfs,src=a,dst=/x", "makes no sense", "type=bind"),
        ("type=bind,src=data,src=data,dst=/x", "twice", ""),
        ("type=bind,src,dst=/x", "has no value", "source=VALUE"),
        ('type=bind,"src=data,dst=/x', "not closed", "--mount"),
    ],
)
def test_mistakes_in_mounts(here: Path, text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        parse_mount(text, str(here))
    assert hint in (caught.value.hint or "")


def test_memory() -> None:
    expected = {
        "/x": MountRequest("tmpfs", "", "/x"),
        "/x:size=64m,mode=1777": MountRequest("tmpfs", "", "/x", False, (("size", str(64 << 20)), ("mode", "1777"))),
        "/x:ro,noexec,nosuid,nodev": MountRequest("tmpfs", "", "/x", True, (("noexec", ""),)),
        "/x:rw,noexec,exec": MountRequest("tmpfs", "", "/x"),
        "/x:uid=1000,gid=5,nr_inodes=9": MountRequest(
            "tmpfs", "", "/x", False, (("uid", "1000"), ("gid", "5"), ("nr_inodes", "9"))
        ),
    }
    assert {text: parse_tmpfs(text) for text in expected} == expected
    sizes = {"1": 1, "1b": 1, "2k": 2048, "2K": 2048, "1kb": 1024, "3MiB": 3 << 20, "1g": 1 << 30}
    found = {text: dict(parse_tmpfs(f"/x:size={text}").options)["size"] for text in sizes}
    assert found == {text: str(size) for text, size in sizes.items()}
    for text in (
        "",
        "x",
        "/x:size=",
        "/x:size=0",
        "/x:size=-1",
        "/x:mode=8",
        "/x:uid=ann",
        "/x:suid",
        "/x:sise=1m",
        "/x:,",
    ):
        with pytest.raises(UsageError):
            parse_tmpfs(text)
    with pytest.raises(UsageError) as caught:
        parse_tmpfs("/x:sise=1m")
    assert caught.value.hint == "did you mean size?"


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1), min_size=1, max_size=4))
def test_what_is_quoted_comes_back(fields: list[str]) -> None:
    text = ",".join('"' + field.replace('"', '""') + '"' for field in fields)
    assert split_fields(text) == fields


@given(st.text(max_size=40))
def test_no_text_gives_anything_but_a_usage_error(text: str) -> None:
    parsers: tuple[Callable[[], MountRequest], ...] = (
        lambda: parse_volume(text, "/"),
        lambda: parse_mount(text, "/"),
        lambda: parse_tmpfs(text),
    )
    for parse in parsers:
        try:
            made = parse()
        except UsageError:
            continue
        assert made.target.startswith("/") and "\0" not in made.target + made.source

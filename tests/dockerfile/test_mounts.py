"""Values of `RUN --mount`."""

from __future__ import annotations

import pytest

from envgit.dockerfile.errors import ExpansionError
from envgit.dockerfile.mounts import Mount, check_mount, parse_mount
from envgit.dockerfile.words import expand


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("target=/x", Mount(target="/x")),
        ("type=bind,from=build,source=/a,dst=/b", Mount(from_="build", source="/a", target="/b")),
        ("TYPE=Bind,SRC=a,Destination=/b,rw", Mount(source="a", target="/b", readonly=False)),
        ("type=bind,target=/b,readonly=false", Mount(target="/b", readonly=False)),
        ("type=bind,target=/b,rw=0", Mount(target="/b")),
        ("type=bind,target=/b,rw,ro", Mount(target="/b")),
        ("type=cache,target=/c", Mount("cache", target="/c", readonly=False)),
        (
            "type=cache,id=n,target=/c,sharing=locked,mode=0700,uid=1,gid=2,ro,from=x,source=y",
            Mount("cache", "x", "y", "/c", id="n", sharing="locked", mode=0o700, uid=1, gid=2),
        ),
        ("type=tmpfs,target=/t", Mount("tmpfs", target="/t", readonly=False)),
        ("type=tmpfs,target=/t,size=64m", Mount("tmpfs", target="/t", readonly=False, size_bytes=64 << 20)),
        ("type=tmpfs,target=/t,size=1.5GiB", Mount("tmpfs", target="/t", readonly=False, size_bytes=3 << 29)),
        ("type=tmpfs,target=/t,size=100", Mount("tmpfs", target="/t", readonly=False, size_bytes=100)),
        ("type=tmpfs,target=/t,size=2kb", Mount("tmpfs", target="/t", readonly=False, size_bytes=2048)),
        ("type=secret,id=s", Mount("secret", id="s")),
        ("type=secret,id=s,env=TOKEN,required", Mount("secret", id="s", env="TOKEN", required=True)),
        (
            "type=secret,src=s,target=/run/s,mode=444,required=false",
            Mount("secret", source="s", target="/run/s", mode=0o444),
        ),
        ("type=ssh,id=default,required=1", Mount("ssh", id="default", required=True)),
        ('type=bind,"target=/with,comma"', Mount(target="/with,comma")),
        ("required,type=secret,id=s", Mount("secret", id="s", required=True)),
    ],
)
def test_mounts(text: str, mount: Mount) -> None:
    assert parse_mount(text) == mount
    check_mount(text)


def test_values_expand_but_not_from() -> None:
    variables = {"where": "/x", "kind": "cache", "who": "7"}
    mount = parse_mount("type=$kind,target=${where}/y,uid=$who,from=a", lambda word: expand(word, variables.get))
    assert mount == Mount("cache", from_="a", target="/x/y", readonly=False, uid=7)
    check_mount("type=$kind,uid=$who,target=$where")
    check_mount("from=price$,target=/x")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("type=bind,targt=/x", "unknown key 'targt' in --mount=type=bind,targt=/x", "did you mean target?"),
        ("type=bnd,target=/x", "unknown type=bnd of --mount", "did you mean bind?"),
        ("type=cache,target=/x,sharing=lock", "unknown sharing=lock of --mount", "did you mean locked?"),
        ("type=cache,target=/x,sharing=", "unknown sharing= of --mount", "locked"),
        ("target", "'target' in --mount=target has no value", "target=VALUE"),
        ("/x", "unknown key '/x' in --mount=/x", "known:"),
        ("target=/x,ro=maybe", "ro=maybe of --mount is neither true nor false", ""),
        ("from=$x,target=/x", "variables do not expand in from= of --mount=from=$x,target=/x", "FROM ... AS NAME"),
        ("target=/x,size=1m", "--mount=target=/x,size=1m: size is for type=tmpfs, not type=bind", ""),
        (
            "target=/x,required",
            "--mount=target=/x,required: required is for type=secret or type=ssh, not type=bind",
            "",
        ),
        (
            "target=/x,mode=700",
            "--mount=target=/x,mode=700: mode is for type=cache or type=secret or type=ssh, not type=bind",
            "",
        ),
        ("type=tmpfs,target=/x,size=big", "size=big of --mount is no size", "64m"),
        ("type=tmpfs,target=/x,size=-1", "size=-1 of --mount is no size", "64m"),
        ("type=tmpfs,target=/x,size=99999999999p", "size=99999999999p of --mount is no size", "64m"),
        ("type=cache,target=/x,mode=9", "mode=9 of --mount is no octal mode", ""),
        ("type=cache,target=/x,uid=-1", "uid=-1 of --mount is no id", ""),
        ("type=cache,target=/x,uid=4294967296", "uid=4294967296 of --mount is no id", ""),
        ("type=cache,target=/x,gid=a", "gid=a of --mount is no id", ""),
        ("type=secret", "--mount=type=secret: which secret?", "id=NAME"),
        ("type=secret,id=a,src=b", "--mount=type=secret,id=a,src=b: both id and source name the secret", "id="),
        ("type=secret,id=a,from=b", "--mount=type=secret,id=a,from=b: a secret is from nowhere", "from="),
        ("type=bind,,target=/x", "an empty field in --mount=type=bind,,target=/x", ""),
        ('"open', '--mount="open is no comma-separated list: unexpected end of data', ""),
    ],
)
def test_bad_mounts(text: str, message: str, hint: str) -> None:
    with pytest.raises(ExpansionError) as error:
        check_mount(text)
    assert error.value.message == message
    assert hint in (error.value.hint or "")

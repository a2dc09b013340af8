"""What may be typed as the address of a repository, and what never reaches a program."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from envgit.transfer.address import Address, parse_address, without_password
from envgit.transfer.errors import BadAddress


@pytest.mark.parametrize(
    ("text", "kind", "host", "path"),
    [
        ("git@example.com:team/env.git", "ssh", "example.com", "team/env.git"),
        ("example.com:env", "ssh", "example.com", "env"),
        ("[::1]:env.git", "ssh", "::1", "env.git"),
        ("me@[host:2222]:env.git", "ssh", "host", "env.git"),
        ("ssh://me@example.com:2222/srv/env.git", "ssh", "example.com", "/srv/env.git"),
        ("ssh://[fe80::1%25eth0]/srv/env.git", "ssh", "fe80::1%eth0", "/srv/env.git"),
        ("ssh://example.com/~ann/env.git", "ssh", "example.com", "~ann/env.git"),
        ("SSH://example.com/a", "ssh", "example.com", "/a"),
        ("https://example.com/team/env.git", "http", "example.com", "/team/env.git"),
        ("http://me:secret@127.0.0.1:8080/env", "http", "127.0.0.1", "/env"),
        ("https://example.com/a%20b.git", "http", "example.com", "/a%20b.git"),
        ("/srv/none.git", "path", "", "/srv/none.git"),
        ("./odd:name.git", "path", "", "/project/odd:name.git"),
        ("../other/env.git", "path", "", "/other/env.git"),
        ("file:///srv/none%20here.git", "file", "", "/srv/none here.git"),
        ("file://localhost/srv/none.git", "file", "", "/srv/none.git"),
        ("monday.bundle", "bundle", "", "/project/monday.bundle"),
    ],
)
def test_every_form_of_an_address_is_understood(text: str, kind: str, host: str, path: str) -> None:
    address = parse_address(text, "/project")
    assert (address.kind, address.host, address.path) == (kind, host, path)


HOSTILE = [
    "",
    "-oProxyCommand=touch pwned",
    "--upload-pack=touch pwned",
    "ext::sh -c 'touch pwned'",
    "fd::17",
    "persistent-https::x",
    "a-helper::https://example.com/x",
    "git://example.com/x",
    "ftp://example.com/x",
    "rsync://example.com/x",
    "git+ssh+x://example.com/x",
    "ssh://-oProxyCommand=touch/x",
    "ssh://%2DoProxyCommand=touch/x",
    "ssh://-x@example.com/x",
    "ssh://%2Dx@example.com/x",
    "ssh://example.com/-x",
    "ssh://example.com/%2Dx",
    "ssh://example.com",
    "ssh://example.com/",
    "ssh:///x",
    "ssh://me:secret@example.com/x",
    "me:secret@example.com:/x",
    "https://me:secret/y@example.com/x",
    "https://me:a:secret/y@example.com/x",
    "ssh://exa$(touch pwned)mple/x",
    "ssh://a`touch`/x",
    "ssh://a;b/x",
    "ssh://a%0ab/x",
    "ssh://host:port/x",
    "ssh://host:0/x",
    "ssh://host:65536/x",
    "ssh://u'x@host/x",
    "-x@example.com:y",
    "a$(b)@example.com:y",
    "example.com:-y",
    "example.com:",
    "me@-host:y",
    "ho st:y",
    ":y",
    "https://example.com",
    "https://example.com/",
    "https:///x",
    "https://exa mple/x",
    "https://good.example\\@bad.example/x",
    "https://example.com%0ahost=evil/x",
    "https://example.com/x%0ay",
    "https://example.com/x%00",
    "https://example.com/x%zz",
    "https://example.com/x?y=z",
    "https://example.com/x#y",
    "https://example.com:https/x",
    "file://other/x",
    "file:x",
    "a\nb",
    "a\x1b[2J",
    "x" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_could_start_a_program_or_mislead_is_refused(text: str, tmp_path: Path) -> None:
    if text == "file:x":  # git takes it for ssh to the host "file", and so do we
        assert parse_address(text, str(tmp_path)).host == "file"
        return
    with pytest.raises(BadAddress) as caught:
        parse_address(text, str(tmp_path))
    assert caught.value.hint and "\n" not in caught.value.message and "secret" not in caught.value.message


def _repository(path: Path, *words: str) -> Path:
    subprocess.run(["git", "init", "-q", *words, str(path)], check=True)
    return path


def test_a_folder_means_the_repository_in_it(tmp_path: Path) -> None:
    bare = _repository(tmp_path / "team.git", "--bare")
    work = _repository(tmp_path / "work")
    project = tmp_path / "project"
    _repository(project / ".envgit", "--bare")
    assert parse_address("team.git", str(tmp_path)) == Address("path", str(bare), str(bare), "")
    assert parse_address("team", str(tmp_path)).path == str(bare)
    assert parse_address("work", str(tmp_path)).path == str(work / ".git")
    assert parse_address("project", str(tmp_path)).path == str(project / ".envgit")
    assert parse_address("project/.envgit", str(tmp_path)).path == str(project / ".envgit")
    assert parse_address(f"file://{project}", "/").url == f"file://{project}/.envgit"
    assert parse_address("nowhere", str(tmp_path)).path == str(tmp_path / "nowhere")


def test_a_file_is_a_bundle_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.pack").write_bytes(b"# v2 git bundle\nPACK")
    (tmp_path / "b").write_bytes(b"hello")
    (tmp_path / "c.bundle").write_bytes(b"whatever")
    assert parse_address("a.pack", str(tmp_path)).kind == "bundle"
    assert parse_address("c", str(tmp_path)) == Address(
        "bundle", str(tmp_path / "c.bundle"), str(tmp_path / "c.bundle"), ""
    )
    with pytest.raises(BadAddress, match="is a file, but no bundle"):
        parse_address("b", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://me:secret@example.com/x: no", "at https://me@example.com/x: no"),
        ("https://me:secret@example.com/x", "https://me@example.com/x"),
        ("https://secret@example.com/x", "https://example.com/x"),
        ("HTTP://secret@example.com/x", "HTTP://example.com/x"),
        ("https://secret:@example.com/x", "https://example.com/x"),
        ("https://secret:x-oauth-basic@example.com/x", "https://example.com/x"),
        ("https://:secret@example.com/x", "https://example.com/x"),
        ("https://me:my secret@example.com/x", "https://me@example.com/x"),
        ("https://me:my s@cret secret@example.com/x", "https://me@example.com/x"),
        ("https://me:secret/secret@example.com/x", "https://me@example.com/x"),
        ("https://me@mail.example:secret@example.com/x", "https://me@mail.example@example.com/x"),
        ("two https://a:secret@b/x\nand https://secret@d/y", "two https://a@b/x\nand https://d/y"),
        ("ssh://git:secret@example.com/x", "ssh://git@example.com/x"),
        ("bob:secret@example.com:/x", "bob@example.com:/x"),
        ("bob:secret@example.com:x", "bob@example.com:x"),
    ],
)
def test_no_message_shows_a_password(text: str, shown: str) -> None:
    assert without_password(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com:8080/a@b",
        "https://example.com/a:b@c",
        "ssh://git@example.com:22/x",
        "git@example.com:x/y@z:v",
        "example.com:x/y@z:v",
        "docker://example.com/a@sha256:00",
        "fatal: a@b: no",
        "cannot reach https://example.com/x: ask me@example.com",
    ],
)
def test_what_is_no_password_is_shown(text: str) -> None:
    assert without_password(text) == text


def test_an_address_shows_no_token() -> None:
    assert parse_address("https://me:secret@example.com/x", "/").shown == "https://me@example.com/x"
    assert parse_address("https://token@example.com/x", "/").shown == "https://example.com/x"

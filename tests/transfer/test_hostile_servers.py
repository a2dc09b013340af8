"""Servers that lie, stall, break and refuse: one clear error, soon, and nothing is left here."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from envgit.errors import EnvgitError
from envgit.transfer import errors
from envgit.transfer.address import parse_address
from envgit.transfer.transport import RefUpdate, Transport, open_transport
from tests.transfer.hostile_server import RawServer, Script, advertisement, answer, fake_ssh, packet, sends, stalls
from tests.transfer.http_server import HttpServer, Reply
from tests.transfer.repositories import (
    Recorder,
    commit,
    is_gone,
    make_bare,
    make_history,
    make_quarantine,
    packs,
    tip,
)

MAIN = "refs/heads/main"
OID = b"1" * 40
REF = OID + b" refs/heads/main"
SOON = 8


def _open(
    text: str, program: str, ours: Path, variables: dict[str, str] | None = None, seconds: float = 20
) -> Transport:
    environ = {**os.environ, **(variables or {})}
    return open_transport(
        str(ours), parse_address(text, "/"), environ, Recorder(), program=program, silent_seconds=seconds
    )


def _fails(transport: Transport, quarantine: Path) -> EnvgitError:
    """List, then fetch what was listed or invented; return the error of either."""
    with pytest.raises(EnvgitError) as caught:
        listed = transport.list_refs()
        transport.fetch(listed.refs or {MAIN: bytes.fromhex(OID.decode())}, str(quarantine))
    assert caught.value.hint and "Traceback" not in caught.value.message
    assert packs(quarantine) == []
    assert [path for path in (quarantine / "objects/pack").iterdir() if path.suffix in (".idx", ".keep")] == []
    return caught.value


# what http servers answer


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("breaks", [1, 2])
def test_a_question_whose_connection_ends_without_an_answer_is_asked_twice(
    tmp_path: Path, breaks: int, method: str
) -> None:
    """As when a server closes a connection that it was asked to keep at that very moment."""
    theirs, ours = make_history(tmp_path / "a.git"), make_bare(tmp_path / "ours")
    with HttpServer(tmp_path) as server:
        left = [Reply(0, {})] * breaks
        server.intercept = lambda asked, path: left.pop() if left and asked == method else None
        transport = _open(server.url("a.git"), "dulwich", ours)
        if breaks == 1:
            assert transport.list_refs().refs[MAIN] == tip(theirs)
        else:
            with pytest.raises(errors.TransferError) as caught:
                transport.list_refs()
            assert caught.value.hint
        assert len([request for request in server.requests if request.startswith(method)]) == 2


def test_a_push_whose_connection_ends_is_not_sent_twice(tmp_path: Path) -> None:
    ours = make_history(tmp_path / "ours")
    make_bare(tmp_path / "b.git")
    with HttpServer(tmp_path) as server:
        server.intercept = lambda method, path: Reply(0, {}) if method == "POST" else None
        with pytest.raises(errors.TransferError):
            _open(server.url("b.git"), "dulwich", ours).push([RefUpdate(MAIN, None, tip(ours))])
        assert [request.partition(" ")[0] for request in server.requests] == ["GET", "POST"]


REFUSALS = {
    "401 Unauthorized": (errors.AccessDenied, "user and"),
    "403 Forbidden": (errors.AccessDenied, "forbids it"),
    "404 Not Found": (errors.NoSuchRepository, "there is no repository"),
    "410 Gone": (errors.TransferError, ""),
    "413 Payload Too Large": (errors.TransferError, "413"),
    "418 I'm a teapot": (errors.TransferError, ""),
    "429 Too Many Requests": (errors.TransferError, "too many requests"),
    "500 Internal Server Error": (errors.TransferError, "HTTP 500"),
    "502 Bad Gateway": (errors.TransferError, "HTTP 502"),
    "503 Service Unavailable": (errors.TransferError, "HTTP 503"),
}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_of_an_http_server_is_explained(program: str, status: str, tmp_path: Path) -> None:
    kind, says = REFUSALS[status]
    ours = make_bare(tmp_path / "ours")
    with RawServer(
        sends(answer(b"no", status=status, kind="text/plain", WWW_Authenticate='Basic realm="x"'))
    ) as server:
        error = _fails(_open(server.url, program, ours), make_quarantine(tmp_path / "q", ours))
    assert isinstance(error, kind) and says in error.message, error.message


HELLO = packet(b"# service=git-upload-pack\n") + b"0000"
LIES: dict[str, Script] = {
    "nothing": sends(b""),
    "no http": sends(b"220 mail.example.com ESMTP\r\n"),
    "half a head": sends(b"HTTP/1.1 200 OK\r\nContent-Type: "),
    "an empty body": sends(answer(b"")),
    "a web page": sends(answer(b"<html>log in</html>", kind="text/html")),
    "a web page as git": sends(answer(b"<html>log in</html>")),
    "a length that is no number": sends(answer(b"zzzz# service=git-upload-pack\n0000")),
    "a length of 1": sends(answer(b"0001")),
    "a length of 3": sends(answer(b"0003")),
    "a length above what comes": sends(answer(b"ffff# service")),
    "another service": sends(answer(advertisement(REF, service=b"git-receive-pack"))),
    "no flush": sends(answer(packet(b"# service=git-upload-pack\n"))),
    "an id that is none": sends(answer(advertisement(b"x" * 40 + b" refs/heads/main"))),
    "a short id": sends(answer(advertisement(b"1234 refs/heads/main"))),
    "no name": sends(answer(advertisement(OID))),
    "an error of its own": sends(answer(HELLO + packet(b"ERR go away\x1b[2J") + b"0000")),
    "objects by sha256": sends(answer(advertisement(REF, capabilities=b"object-format=sha256"))),
    "ids of sha256": sends(answer(advertisement(b"2" * 64 + b" refs/heads/main", capabilities=b"object-format=sha256"))),
    "cut in a packet": sends(answer(advertisement(REF))[:-30]),
    "a body shorter than said": sends(answer(advertisement(REF)).replace(b"Content-Length: ", b"Content-Length: 9")),
    "redirects without end": sends(answer(b"", status="302 Found", Location="/a.git/info/refs?service=git-upload-pack")),
    "a redirect to a file": sends(answer(b"", status="302 Found", Location="file:///etc/passwd?service=git-upload-pack")),
    "a redirect to ftp": sends(answer(b"", status="302 Found", Location="ftp://127.0.0.1/info/refs?service=git-upload-pack")),
    "a redirect to a login": sends(answer(b"", status="302 Found", Location="/login")),
    "an answer to every request": sends(answer(advertisement(REF))),
    "a pack that is none": sends(answer(advertisement(REF)), b""),
    "zip bombs of headers": sends(b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 300_000 + b"\r\n\r\n"),
    "version 9": sends(answer(HELLO + packet(b"version 9\n") + b"0000")),
    "version 2 without fetch": sends(answer(packet(b"version 2\n") + packet(b"agent=x\n") + b"0000")),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_lie_over_http_is_one_clear_error(program: str, name: str, tmp_path: Path) -> None:
    ours = make_bare(tmp_path / "ours")
    started = time.monotonic()
    with RawServer(LIES[name]) as server:
        error = _fails(_open(server.url, program, ours), make_quarantine(tmp_path / "q", ours))
    assert isinstance(error, errors.TransferError) and time.monotonic() - started < SOON
    assert "passwd" not in error.message


STUCK: dict[str, Script] = {
    "from the start": stalls(),
    "in its head": stalls(b"HTTP/1.1 200 OK\r\n"),
    "in its body": stalls(answer(advertisement(REF))[:-20]),
}


@pytest.mark.parametrize("name", STUCK)
def test_a_server_that_is_stuck_is_given_up(program: str, name: str, tmp_path: Path) -> None:
    ours = make_bare(tmp_path / "ours")
    started = time.monotonic()
    with RawServer(STUCK[name]) as server:
        error = _fails(_open(server.url, program, ours, seconds=1), make_quarantine(tmp_path / "q", ours))
    assert isinstance(error, errors.Stalled) and time.monotonic() - started < SOON, error
    assert "silent" in error.message


# what ssh and what is behind it say

SAYINGS = {
    "ssh: Could not resolve hostname nowhere: Name or service not known": errors.Unreachable,
    "ssh: connect to host x port 22: Connection refused": errors.Unreachable,
    "ssh: connect to host x port 22: Connection timed out": errors.Unreachable,
    "ssh: connect to host x port 22: No route to host": errors.Unreachable,
    "git@x: Permission denied (publickey).": errors.AccessDenied,
    "Host key verification failed.": errors.AccessDenied,
    "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @": errors.AccessDenied,
    "kex_exchange_identification: Connection closed by remote host": errors.Unreachable,
    "ERROR: Repository not found.": errors.NoSuchRepository,
    "fatal: '/a.git' does not appear to be a git repository": errors.NoSuchRepository,
    "sh: 1: git-upload-pack: not found": errors.TransferError,
    "remote: You are not allowed to download code from this project.": errors.AccessDenied,
    "fatal: detected dubious ownership in repository at '/a.git'": errors.AccessDenied,
    "": errors.TransferError,
}


@pytest.mark.parametrize("said", SAYINGS)
def test_what_ssh_says_becomes_advice(program: str, said: str, tmp_path: Path) -> None:
    ours = make_bare(tmp_path / "ours")
    variables = fake_ssh(tmp_path, f"sys.stderr.write({said!r} + '\\n')\nsys.exit(255)\n")
    error = _fails(_open("ssh://git@x/a.git", program, ours, variables), make_quarantine(tmp_path / "q", ours))
    assert isinstance(error, SAYINGS[said]), error.message


CAPABLE = packet(REF + b"\0side-band-64k\n")
WILD_ERROR = packet(b"ERR \x1b]0;pwned\x07")
WILD_SHALLOW = packet(REF + b"\0shallow\n") + packet(b"shallow xyz\n")
TALK = {
    "nothing": "",
    "a banner": "say(b'Welcome to this machine!\\n')",
    "random bytes": "say(bytes(range(256)) * 100)",
    "zeros": "say(bytes(100000))",
    "no flush": f"say({CAPABLE!r})",
    "an endless packet": "say(b'fff0')\nsay(b'x' * 100)",
    "lines without end on standard error": "sys.stderr.write('x' * 5_000_000); sys.exit(1)",
    "messages without end": "sys.stderr.write('remote: hello\\n' * 200_000); sys.exit(1)",
    "an error with escapes": f"say({WILD_ERROR!r})",
    "a pack without a question": "say(b'PACK' + bytes(100))",
    "a flush and an end": "say(b'0000')",
    "shallow lines that are none": f"say({WILD_SHALLOW!r} + b'0000')",
}  # fmt: skip


@pytest.mark.parametrize("name", TALK)
def test_talk_that_is_no_protocol_is_one_clear_error(program: str, name: str, tmp_path: Path) -> None:
    ours = make_bare(tmp_path / "ours")
    variables = fake_ssh(tmp_path, TALK[name])
    started = time.monotonic()
    error = _fails(_open("ssh://git@x/a.git", program, ours, variables, 5), make_quarantine(tmp_path / "q", ours))
    assert time.monotonic() - started < SOON and len(error.message) < 2000


@pytest.mark.parametrize("where", ["at once", "in the refs", "after the refs"])
def test_a_silent_ssh_is_given_up_and_gone(program: str, where: str, tmp_path: Path) -> None:
    said = {"at once": b"", "in the refs": packet(REF + b"\0x\n"), "after the refs": packet(REF + b"\0x\n") + b"0000"}
    pid_file = tmp_path / "pid"
    body = f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\nsay({said[where]!r})\ntime.sleep(60)\n"
    ours = make_bare(tmp_path / "ours")
    started = time.monotonic()
    transport = _open("ssh://git@x/a.git", program, ours, fake_ssh(tmp_path, body), 1)
    error = _fails(transport, make_quarantine(tmp_path / "q", ours))
    assert isinstance(error, errors.Stalled) and time.monotonic() - started < 2 * SOON
    assert is_gone(int(pid_file.read_text()))


# names and refs


def test_refs_with_bad_names_are_left_out(program: str, tmp_path: Path) -> None:
    names = [b"refs/heads/../../../x", b"refs/heads/a..b", b"refs/heads/.x", b"refs/heads/x.lock", b"refs/envgit/keep", b"config",
             b"refs/heads/a\x07b", b"refs/heads/" + b"n" * 300, b"refs/remotes/../HEAD", b"refs//heads/x"]  # fmt: skip
    with RawServer(sends(answer(advertisement(REF, *(OID + b" " + name for name in names))))) as server:
        transport = _open(server.url, program, make_bare(tmp_path / "ours"))
        try:
            assert set(transport.list_refs().refs) == {MAIN}
        except errors.TransferError as error:
            assert error.hint  # a program may refuse the whole list


def test_a_refused_size_says_what_to_do(program: str, tmp_path: Path) -> None:
    ours = make_history(tmp_path / "ours")
    theirs = make_bare(tmp_path / "served/b.git")
    commit(ours, files={"big": os.urandom(300_000)})
    with HttpServer(tmp_path / "served") as server:
        server.most_body = 100_000
        with pytest.raises(errors.TransferError, match="413") as caught:
            _open(server.url("b.git"), program, ours).push([RefUpdate(MAIN, None, tip(ours))])
    assert "pushLimit" in (caught.value.hint or "")
    assert packs(theirs) == []


@pytest.mark.parametrize("size", [0, 1, 7, 100, 5000, 150_000])
def test_a_cut_connection_leaves_nothing_and_again_works(program: str, size: int, tmp_path: Path) -> None:
    theirs, ours = make_history(tmp_path / "served/a.git"), make_bare(tmp_path / "ours")
    new = commit(theirs, files={"big": os.urandom(300_000)})
    with HttpServer(tmp_path / "served") as server:
        transport = _open(server.url("a.git"), program, ours)
        listed = transport.list_refs()
        server.cut_after = size
        quarantine = make_quarantine(tmp_path / "q", ours)
        with pytest.raises(errors.TransferError) as caught:
            transport.fetch({MAIN: new}, str(quarantine))
        assert packs(quarantine) == [] and caught.value.hint
        server.cut_after = None
        assert listed.refs[MAIN] == new
        assert transport.fetch({MAIN: new}, str(make_quarantine(tmp_path / "q2", ours))).objects > 0


def test_a_push_whose_answer_is_lost_can_be_repeated(program: str, tmp_path: Path) -> None:
    ours, theirs = make_history(tmp_path / "ours"), make_bare(tmp_path / "served/b.git")
    update = [RefUpdate(MAIN, None, tip(ours))]
    with HttpServer(tmp_path / "served") as server:
        transport = _open(server.url("b.git"), program, ours)
        server.cut_after = 0
        with pytest.raises(errors.TransferError) as caught:
            transport.push(update)
        assert caught.value.hint
        server.cut_after = None
        assert transport.push(update)[0].ok
    assert tip(theirs) == tip(ours)


def test_a_pack_without_what_was_asked_for_is_refused(tmp_path: Path) -> None:
    ours = make_bare(tmp_path / "ours")
    empty = b"PACK\0\0\0\2\0\0\0\0" + bytes.fromhex("029d08823bd8a8eab510ad6ac75c823cfd3ed31e")
    said = packet(REF + b"\0side-band-64k ofs-delta\n") + b"0000"
    body = f"say({said!r})\nsys.stdin.buffer.read(40)\nsay({packet(b'NAK') + packet(bytes([1]) + empty) + b'0000'!r})\n"
    transport = _open("ssh://x/a.git", "git", ours, fake_ssh(tmp_path, body), 5)
    with pytest.raises(errors.TransferError):
        transport.fetch({MAIN: bytes.fromhex(OID.decode())}, str(make_quarantine(tmp_path / "q", ours)))


def test_refs_without_end_are_cut_off(program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("envgit.transfer.git_run.MOST_OUTPUT_BYTES", 100_000)
    monkeypatch.setattr("envgit.transfer.dulwich_wire.MOST_TALK_BYTES", 100_000)
    refs = b"".join(packet(OID + b" refs/heads/b%d\n" % number) for number in range(5000))
    body = f"say({packet(REF + bytes(1) + b'x')!r} + {refs!r} + b'0000')\n"
    with pytest.raises(errors.TransferError):
        _open("ssh://x/a.git", program, make_bare(tmp_path / "ours"), fake_ssh(tmp_path, body), 5).list_refs()


def test_a_password_is_asked_for_given_and_never_shown(program: str, tmp_path: Path) -> None:
    ours, theirs = make_history(tmp_path / "ours"), make_bare(tmp_path / "served/b.git")
    update = [RefUpdate(MAIN, None, tip(ours))]
    with HttpServer(tmp_path / "served", user="me", password="s3cret") as server:
        for userinfo in ("", "me:wr0ng"):
            with pytest.raises(errors.AccessDenied) as caught:
                _open(server.url("b.git", userinfo), program, ours).push(update)
            assert "wr0ng" not in caught.value.message + (caught.value.hint or "")
        assert _open(server.url("b.git", "me:s3cret"), program, ours).push(update)[0].ok
        store = tmp_path / "home/.git-credentials"
        store.parent.mkdir()
        store.write_text(server.url("", "me:s3cret") + "\n")
        variables = {"HOME": str(store.parent), "GIT_CONFIG_GLOBAL": str(tmp_path / "config")}
        (tmp_path / "config").write_text("[credential]\n\thelper = store\n")
        assert _open(server.url("b.git"), program, ours, variables).list_refs().refs[MAIN] == tip(theirs)


def test_a_certificate_has_to_be_trusted(program: str, tmp_path: Path) -> None:
    theirs, ours = make_history(tmp_path / "served/a.git"), make_bare(tmp_path / "ours")
    with HttpServer(tmp_path / "served", tls=True) as server:
        with pytest.raises(errors.AccessDenied, match="certificate"):
            _open(server.url("a.git"), program, ours).list_refs()
        assert _open(server.url("a.git"), program, ours, server.variables).list_refs().refs[MAIN] == tip(theirs)


def test_credentials_do_not_follow_a_redirect(program: str, tmp_path: Path) -> None:
    with RawServer(sends(answer(b"no", status="404 Not Found"))) as other:
        place = other.url.replace("127.0.0.1", "localhost") + "/info/refs?service=git-upload-pack"
        with RawServer(sends(answer(b"", status="302 Found", Location=place))) as server:
            url = server.url.replace("://", "://me:s3cret@")
            with pytest.raises(errors.TransferError):
                _open(url, program, make_bare(tmp_path / "ours")).list_refs()
        assert other.requests and not any(b"authorization" in each.lower() for each in other.requests)


def test_a_rewritten_address_cannot_start_a_program(program: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f'[url "ext::touch {tmp_path}/pwned %S "]\n\tinsteadOf = https://example.invalid/\n')
    transport = _open(
        "https://example.invalid/x", program, make_bare(tmp_path / "ours"), {"GIT_CONFIG_GLOBAL": str(config)}
    )
    with pytest.raises(EnvgitError):
        transport.list_refs()
    assert not (tmp_path / "pwned").exists()


def test_dulwich_does_not_work_in_the_repository_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings and links would be followed with the rights of whoever asks; git has safe.directory for that."""
    theirs, ours = make_history(tmp_path / "a.git"), make_bare(tmp_path / "ours")
    transport = open_transport(
        str(ours), parse_address(f"file://{theirs}", "/"), os.environ, Recorder(), program="dulwich"
    )
    assert MAIN in transport.list_refs().refs
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(errors.TransferError, match=f"belongs to user {owner}, not to you") as caught:
        transport.list_refs()
    assert caught.value.hint

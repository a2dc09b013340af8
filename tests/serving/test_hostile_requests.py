"""Requests that are wrong, huge, slow or greedy: refused at once, and the server goes on for everybody else."""

from __future__ import annotations

import gzip
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from envgit.serving.git_upload_pack import GitUploadPack
from envgit.serving.http_server import GitHttpServer, Limits, Served
from envgit.serving.own_upload_pack import OwnUploadPack
from envgit.serving.public_history import PublicHistory
from envgit.serving.request_body import MOST_BYTES
from envgit.serving.upload_pack import UploadPack
from envgit.store.repository import GitRepository, create_bare
from tests.store.conftest import make_commit

TYPE = b"Content-Type: application/x-git-upload-pack-request\r\n"
V2 = b"Git-Protocol: version=2\r\n"
LIMITS = Limits(header_seconds=1.0, body_seconds=1.0, send_seconds=1.0, wait_seconds=0.3, connections=8, answers=2)


def pkt(text: bytes) -> bytes:
    return b"%04x%b" % (len(text) + 4, text)


class Running:
    """The server in a thread of this process."""

    def __init__(self, repository: GitRepository, upload_pack: UploadPack) -> None:
        self.served: list[Served] = []
        self.repository = repository
        history = PublicHistory(repository.git_dir)
        self.server = GitHttpServer(("127.0.0.1", 0), "lab", history, upload_pack, self.served.append, LIMITS)
        self.upload_pack = upload_pack
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.server.server_address[:2], timeout=20)  # type: ignore[arg-type]

    def ask(self, request: bytes) -> bytes:
        said = b""
        with closing(self.connect()) as connection:
            try:
                connection.sendall(request)
                while piece := connection.recv(65536):
                    said += piece
            except (ConnectionResetError, BrokenPipeError):
                pass
        return said

    def post(self, body: bytes, headers: bytes = TYPE + V2, path: bytes = b"/lab/git-upload-pack") -> bytes:
        length = b"Content-Length: %d\r\n" % len(body)
        return self.ask(b"POST %b HTTP/1.1\r\nConnection: close\r\n%b%b\r\n%b" % (path, length, headers, body))

    def works(self) -> bool:
        said = self.post(pkt(b"command=ls-refs\n") + b"0000")
        return b" 200 " in said and b"refs/heads/main" in said

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.upload_pack.stop()


@pytest.fixture(params=["git", "own"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    repository = create_bare(str(tmp_path / "lab.envgit"))
    big = make_commit(repository, text="x", files=400)
    repository.refs.update("refs/heads/main", big, None)
    repository.refs.update("refs/envgit/kept/x", make_commit(repository, text="hidden"), None)
    git = shutil.which("git")
    assert git
    made = OwnUploadPack(repository.git_dir) if request.param == "own" else GitUploadPack(
        git, repository.git_dir, {"PATH": os.environ["PATH"]}
    )  # fmt: skip
    server = Running(repository, made)
    yield server
    server.close()


def fetch_of(want: str, *more: bytes) -> bytes:
    return pkt(b"command=fetch") + b"0001" + pkt(b"want " + want.encode() + b"\n") + b"".join(more) + b"0000"


REQUESTS: dict[str, tuple[bytes, int]] = {
    "no HTTP": (b"\x00\xff\xfe rubbish\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "long request line": (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n", 414),
    "long header": (b"GET /lab/info/refs HTTP/1.1\r\nX: " + b"a" * 70000 + b"\r\n\r\n", 431),
    "many headers": (b"GET /lab/info/refs HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    "other method": (b"PUT /lab/HEAD HTTP/1.1\r\n\r\n", 501),
    "delete": (b"DELETE /lab HTTP/1.1\r\n\r\n", 501),
    "dumb refs": (b"GET /lab/info/refs HTTP/1.1\r\n\r\n", 403),
    "push": (b"GET /lab/info/refs?service=git-receive-pack HTTP/1.1\r\n\r\n", 403),
    "push pack": (b"POST /lab/git-receive-pack HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 403),
    "archive": (b"GET /lab/info/refs?service=git-upload-archive HTTP/1.1\r\n\r\n", 403),
    "two services": (b"GET /lab/info/refs?service=git-upload-pack&service=git-receive-pack HTTP/1.1\r\n\r\n", 403),
    "the root": (b"GET / HTTP/1.1\r\n\r\n", 404),
    "HEAD of it": (b"GET /lab/HEAD HTTP/1.1\r\n\r\n", 404),
    "its configuration": (b"GET /lab/config HTTP/1.1\r\n\r\n", 404),
    "an object": (b"GET /lab/objects/info/packs HTTP/1.1\r\n\r\n", 404),
    "traversal": (b"GET /lab/../../etc/passwd HTTP/1.1\r\n\r\n", 404),
    "encoded traversal": (b"GET /lab/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n\r\n", 404),
    "encoded NUL": (b"GET /lab%00/info/refs?service=git-upload-pack HTTP/1.1\r\n\r\n", 404),
    "absolute URL": (b"GET http://elsewhere/lab/info/refs?service=git-upload-pack HTTP/1.1\r\n\r\n", 404),
    "another name": (b"GET /lab2/info/refs?service=git-upload-pack HTTP/1.1\r\n\r\n", 404),
    "a page of the web": (b"GET /lab/info/refs?service=git-upload-pack HTTP/1.1\r\nOrigin: http://evil\r\n\r\n", 403),
    "a body with GET": (b"GET /lab/info/refs?service=git-upload-pack HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400),
    "no length": (b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"\r\n", 411),
    "no type": (b"POST /lab/git-upload-pack HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 415),
    "a form": (b"POST /lab/git-upload-pack HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n", 415),
    "length is no number": (b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"Content-Length: 0x10\r\n\r\n", 400),
    "negative length": (b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"Content-Length: -1\r\n\r\n", 400),
    "length in other digits": (
        b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + "Content-Length: \u0663\r\n\r\n".encode(), 400),
    "huge length": (b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"Content-Length: 99999999999\r\n\r\n", 413),
    "enormous length": (b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"Content-Length: " + b"9" * 60 + b"\r\n\r\n", 400),
    "two lengths": (
        b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n0000", 400),
    "length and chunks": (
        b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE
        + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "unknown transfer": (b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "wrong chunk": (b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    "negative chunk": (b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"Transfer-Encoding: chunked\r\n\r\n-4\r\n", 400),
    "huge chunk": (
        b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
    "endless chunk size": (
        b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 2000, 400),
    "unknown compression": (
        b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + b"Content-Encoding: br\r\nContent-Length: 0\r\n\r\n", 415),
    "a query": (b"POST /lab/git-upload-pack?x=y HTTP/1.1\r\n" + TYPE + b"Content-Length: 0\r\n\r\n", 404),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_that_are_no_clients(running: Running, name: str) -> None:
    request, status = REQUESTS[name]
    said = running.ask(request)
    assert f" {status} ".encode() in said.split(b"\r\n")[0], said
    assert b"Traceback" not in said and running.works()
    assert running.served == []


BODIES: dict[str, tuple[bytes, bytes]] = {
    "empty": (b"", b" 400 "),
    "no packet lines": (b"zzzzhello", b" 400 "),
    "a length that is too long": (b"fff0command=fetch", b" 400 "),
    "a length of three": (b"0003", b" 400 "),
    "a line that ends early": (b"0010comm", b" 400 "),
    "half a length": (pkt(b"command=fetch") + b"00", b" 400 "),
    "a sign in the length": (b"+010command=fetc", b" 400 "),
    "another command": (pkt(b"command=object-info") + b"0000", b" 400 "),
    "no command": (pkt(b"want " + b"1" * 40) + b"0000", b" 400 "),
    "a word that begins like a command": (pkt(b"command=fetchx") + b"0000", b" 400 "),
    "no id": (fetch_of("x" * 40), b" 400 "),
    "a short id": (fetch_of("1" * 39), b" 400 "),
    "an option for an id": (fetch_of("--upload-pack=touch /tmp/x --aaaaaaaaaaaaa"), b" 400 "),
    "an unknown object": (fetch_of("1" * 40), b"not our ref"),
    "nothing": (fetch_of("0" * 40), b"not our ref"),
    "a filter": (pkt(b"command=fetch") + b"0001" + pkt(b"filter blob:none\n") + b"0000", b" 400 "),
    "a ref by its name": (pkt(b"command=fetch") + b"0001" + pkt(b"want-ref refs/envgit/kept/x\n") + b"0000", b" 400 "),
    "a hidden ref to stop at": (
        pkt(b"command=fetch") + b"0001" + pkt(b"deepen-not refs/envgit/kept/x\n") + b"0000", b"names no branch"),
    "a have that is no id": (pkt(b"command=fetch") + b"0001" + pkt(b"have main\n") + b"0000", b" 400 "),
    "too large": (b"0000" * (MOST_BYTES // 4 + 1), b" 413 "),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_no_clients(running: Running, name: str) -> None:
    body, says = BODIES[name]
    said = running.post(body)
    assert says in said, said
    assert running.works()


@pytest.mark.parametrize("version", [b"", V2, b"Git-Protocol: version=1\r\n", b"Git-Protocol: version=99\r\n"])
def test_hidden_objects_in_every_version(running: Running, version: bytes) -> None:
    hidden = running.repository.refs.resolve("refs/envgit/kept/x")
    assert hidden
    want = pkt(b"want " + hidden.hex().encode() + b" side-band-64k ofs-delta thin-pack\n")
    body = (pkt(b"command=fetch") + b"0001" + want + pkt(b"done\n") + b"0000") if version == V2 else (
        want + b"0000" + pkt(b"done\n")
    )  # fmt: skip
    said = running.post(body, TYPE + version)
    assert b"not our ref" in said and b"PACK" not in said
    assert running.works()


def test_what_a_client_calls_shallow_does_not_bring_its_parents(running: Running) -> None:
    """Unshallowing sends what is below the commits that a client names, whoever may see them."""
    tip = running.repository.refs.resolve("refs/heads/main")
    secret = make_commit(running.repository, text="secret", files=50)
    child = make_commit(running.repository, secret, text="child")
    running.repository.refs.update("refs/envgit/kept/y", child, None)
    assert tip

    def objects(*more: bytes) -> int:
        said = running.post(fetch_of(tip.hex(), *more, pkt(b"deepen 2147483647\n"), pkt(b"done\n")))
        assert child.hex().encode() not in said and secret.hex().encode() not in said
        start = said.index(b"PACK") + 8
        return int.from_bytes(said[start : start + 4], "big")

    assert objects(pkt(b"shallow " + child.hex().encode() + b"\n")) == objects()


def test_compressed_requests(running: Running) -> None:
    body = pkt(b"command=ls-refs\n") + b"0000"
    packed = gzip.compress(body)
    headers = TYPE + V2 + b"Content-Encoding: gzip\r\n"
    assert b"refs/heads/main" in running.post(packed, headers)
    for wrong in (packed[:-3], packed + b"x", b"x" + packed, b""):
        assert b" 400 " in running.post(wrong, headers)
    bomb = gzip.compress(bytes(200 << 20), 9)
    started = time.monotonic()
    assert b" 413 " in running.post(bomb, headers)
    assert time.monotonic() - started < 5
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    said = running.ask(
        b"POST /lab/git-upload-pack HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
        + TYPE
        + V2
        + b"\r\n"
        + chunks
    )
    assert b"refs/heads/main" in said


def test_arguments_that_make_no_sense(running: Running) -> None:
    tip = running.repository.refs.resolve("refs/heads/main")
    assert tip
    for more in (pkt(b"deepen x\n"), pkt(b"deepen -3\n"), pkt(b"deepen 99999999999999999999\n"), pkt(b"shallow x\n"),
                 pkt(b"nonsense\n"), pkt(b"deepen-since never\n"), pkt(b"\n"), pkt(b"\x00\xff\n")):  # fmt: skip
        said = running.post(fetch_of(tip.hex(), more, pkt(b"done\n")))
        assert b"Traceback" not in said and running.works(), more


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET", b"GET /lab/info/refs HTTP/1.1\r\nX: ",
     b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + V2 + b"Content-Length: 100\r\n\r\n0010comm"],
)  # fmt: skip
def test_slow_clients_are_sent_away(running: Running, beginning: bytes) -> None:
    """Also when they send a byte now and then."""
    with closing(running.connect()) as connection:
        connection.sendall(beginning)
        started = time.monotonic()
        connection.settimeout(0.2)
        ended = False
        while time.monotonic() - started < 10 and not ended:
            try:
                ended = connection.recv(1000) == b""
            except TimeoutError:
                try:
                    connection.sendall(b"a")
                except OSError:
                    ended = True
            except OSError:
                ended = True
        assert ended and time.monotonic() - started < 5
    assert running.works()


def test_who_does_not_read_is_sent_away(tmp_path: Path, running: Running) -> None:
    repository = running.repository
    with repository.objects.pack_session() as session:
        blob = session.put("blob", os.urandom(24 << 20))
        session.finish()
    repository.refs.update("refs/tags/big", blob, None)
    body = fetch_of(blob.hex(), pkt(b"done\n"))
    with closing(running.connect()) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = b"POST /lab/git-upload-pack HTTP/1.1\r\n" + TYPE + V2 + b"Content-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        deadline = time.monotonic() + 10
        while not running.served and time.monotonic() < deadline:
            time.sleep(0.05)
    assert [served.problem for served in running.served] == ["the client went away, or was too slow"]
    assert running.works()


def test_too_many_connections(running: Running) -> None:
    held = [running.connect() for _ in range(LIMITS.connections)]
    time.sleep(0.1)
    said = running.ask(b"GET /lab/info/refs?service=git-upload-pack HTTP/1.1\r\n\r\n")
    assert b"503" in said and b"Retry-After" in said
    for connection in held:
        connection.close()
    deadline = time.monotonic() + 5
    while not running.works() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running.works()


def test_a_damaged_history_is_an_error_and_not_the_end(running: Running) -> None:
    refs = running.repository.refs
    refs.update("refs/heads/broken", b"\x11" * 20, None)
    assert running.works()
    parent = make_commit(running.repository, b"\x22" * 20, text="without its parent")
    refs.update("refs/heads/cut", parent, None)
    said = running.post(pkt(b"command=ls-refs\n") + b"0000")
    assert b" 500 " in said and b"missing" in said
    refs.update("refs/heads/cut", None, parent)
    assert running.works()


def test_damage_on_the_way_ends_the_answer_without_its_end(running: Running) -> None:
    """A client never takes a part for the whole."""
    tip = running.repository.refs.resolve("refs/heads/main")
    assert tip
    folder = Path(running.repository.git_dir, "objects/pack")
    big = max(folder.glob("*.pack"), key=lambda path: path.stat().st_size)
    data = bytearray(big.read_bytes())
    data[len(data) // 2] ^= 0xFF
    big.chmod(0o644)
    big.write_bytes(data)
    said = running.post(fetch_of(tip.hex(), pkt(b"done\n")))
    assert not (said.endswith(b"0\r\n\r\n") and b"PACK" in said) or b"fatal" in said or b"ERR" in said or b"\3" in said
    assert running.served == [] or running.served[0].problem

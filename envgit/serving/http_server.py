"""git's smart protocol over HTTP, for reading (gitprotocol-http(5)): two addresses, everything else does not exist."""

from __future__ import annotations

import io
import re
import socket
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from threading import BoundedSemaphore
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from envgit.errors import EnvgitError
from envgit.serving.errors import AnswerFailed, BadRequest, NotPublic
from envgit.serving.packet_lines import FLUSH, encode_line, error_line
from envgit.serving.public_history import PublicHistory
from envgit.serving.request import check_request
from envgit.serving.request_body import TimedReader, read_body
from envgit.serving.upload_pack import UploadPack

MOST_CONNECTIONS: Final = 64
_MOST_ANSWERS: Final = 16
"""Packs that are made at once; who comes later waits."""
_HEADER_SECONDS: Final = 20.0
_BODY_SECONDS: Final = 60.0
_SEND_SECONDS: Final = 60.0
"""For each piece of at most 128 KiB."""
_WAIT_SECONDS: Final = 30.0
_LINGER_SECONDS: Final = 1.0
_PIECE_BYTES: Final = 1 << 17
_VERSION: Final = re.compile(r"(?:.*:)?version=([12])(?::.*)?\Z")
_REQUEST_TYPE: Final = "application/x-git-upload-pack-request"
_NO_CACHE: Final = (("Expires", "Fri, 01 Jan 1980 00:00:00 GMT"), ("Pragma", "no-cache"), ("Cache-Control", "no-cache"))


class Limits(NamedTuple):
    """Seconds for the headers, the body, and for each piece of an answer; how many connections and answers at once."""

    header_seconds: float = _HEADER_SECONDS
    body_seconds: float = _BODY_SECONDS
    send_seconds: float = _SEND_SECONDS
    wait_seconds: float = _WAIT_SECONDS
    connections: int = MOST_CONNECTIONS
    answers: int = _MOST_ANSWERS


class Served(NamedTuple):
    """A request for objects that was answered, or not: then `problem` says why. `address`: the client's."""

    address: str
    bytes: int
    seconds: float
    problem: str = ""


class GitHttpServer(ThreadingMixIn, TCPServer):
    """Listens at `address` (host, port) when made; raises OSError. serve_forever() answers until shutdown().

    `name`: the repository's, which is its path. `tell` hears of every request for objects, from the thread that answers it.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        name: str,
        history: PublicHistory,
        upload_pack: UploadPack,
        tell: Callable[[Served], None],
        limits: Limits | None = None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.name = name
        self.history = history
        self.upload_pack = upload_pack
        self.tell = tell
        self.limits = limits or Limits()
        self._connections = BoundedSemaphore(self.limits.connections)
        self.answers = BoundedSemaphore(self.limits.answers)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; when there are too many, send the client away at once."""
        if not self._connections.acquire(blocking=False):
            request.settimeout(1.0)
            _send_quietly(
                request, b"HTTP/1.1 503 busy\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._connections.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections break; nobody needs a traceback of that."""


def _send_quietly(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"
    server_version = "envgit"
    sys_version = ""
    server: GitHttpServer

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timed = TimedReader(self.connection)
        self.rfile = io.BufferedReader(self._timed)

    def handle_one_request(self) -> None:
        """Read and answer one request; any that is not wholly understood ends the connection."""
        self._timed.allow(self.server.limits.header_seconds)
        self._has_begun = False
        try:
            super().handle_one_request()
        except (OSError, ValueError):
            self.close_connection = True

    def do_GET(self) -> None:
        self._respond(self._info_refs)

    def do_POST(self) -> None:
        self._respond(self._upload_pack)

    def _respond(self, answer: Callable[[str, str], None]) -> None:
        path, _, query = self.path.partition("?")
        try:
            if self.headers.get("Origin") is not None:
                raise BadRequest("pages of the web are not served", status=403)
            name, _, service = unquote(path).removeprefix("/").partition("/")
            if name.removesuffix(".git") != self.server.name:
                raise BadRequest("there is no such repository", status=404)
            answer(service, query)
        except EnvgitError as error:
            if not self._has_begun:
                self._refuse(error.status if isinstance(error, BadRequest) else 500, error.message)

    def _info_refs(self, service: str, query: str) -> None:
        if (self.headers.get("Content-Length") or "0") != "0" or self.headers.get("Transfer-Encoding") is not None:
            raise BadRequest("the request has a body")
        if service != "info/refs":
            raise BadRequest("there is nothing else here", status=404)
        if query == "service=git-receive-pack":
            raise BadRequest("this repository is served read-only", status=403)
        if query != "service=git-upload-pack":
            raise BadRequest("only git's smart protocol is spoken here", status=403)
        version, public = self._version(), self.server.history.look()
        first = b"" if version == 2 else encode_line(b"# service=git-upload-pack\n") + FLUSH
        pieces = self.server.upload_pack.advertise(version, public)
        self._send(pieces, "application/x-git-upload-pack-advertisement", first)

    def _upload_pack(self, service: str, query: str) -> None:
        self._timed.allow(self.server.limits.body_seconds)
        if service == "git-receive-pack":
            raise BadRequest("this repository is served read-only", status=403)
        if service != "git-upload-pack" or query:
            raise BadRequest("there is nothing else here", status=404)
        if self.headers.get("Content-Type") != _REQUEST_TYPE:
            raise BadRequest("the request is not git's", status=415)
        body = read_body(self.rfile, self.headers)
        version, public = self._version(), self.server.history.look()
        try:
            request = check_request(body, version, public)
        except NotPublic as error:
            self.server.tell(Served(self.client_address[0], 0, 0.0, error.message))
            self._send(iter(()), "application/x-git-upload-pack-result", error_line(error.message))
            return
        if not request.is_fetch:
            self._send(self.server.upload_pack.answer(request, version, public), "application/x-git-upload-pack-result")
        elif self.server.answers.acquire(timeout=self.server.limits.wait_seconds):
            try:
                self._send_pack(self.server.upload_pack.answer(request, version, public))
            finally:
                self.server.answers.release()
        else:
            raise BadRequest("too many packs are being made; try again", status=503)

    def _send_pack(self, pieces: Generator[bytes, None, None]) -> None:
        started, problem, sent = time.monotonic(), "", [0]

        has_pack = [False]

        def counted() -> Iterator[bytes]:
            for piece in pieces:
                sent[0] += len(piece)
                has_pack[0] = has_pack[0] or b"PACK" in piece
                yield piece

        try:
            with closing(pieces):
                self._send(counted(), "application/x-git-upload-pack-result")
        except OSError:
            problem = "the client went away, or was too slow"
            raise
        except AnswerFailed as error:
            problem = error.message
            raise
        finally:
            if has_pack[0] or problem:  # else it was a round of finding out what both have
                self.server.tell(Served(self.client_address[0], sent[0], time.monotonic() - started, problem))

    def _version(self) -> int:
        match = _VERSION.match(self.headers.get("Git-Protocol", "")[:256])
        return int(match[1]) if match else 0

    def _send(self, pieces: Iterator[bytes], type: str, first: bytes = b"") -> None:
        """Send an answer in chunks. One that fails on the way stays without its end, so that no client takes it for whole."""
        ready = next(pieces, b"")  # what cannot be answered at all is an error of HTTP
        self.send_response(200)
        for name, text in (("Content-Type", type), ("Transfer-Encoding", "chunked"), *_NO_CACHE):
            self.send_header(name, text)
        self._has_begun = True
        self.connection.settimeout(self.server.limits.send_seconds)
        self.end_headers()
        try:
            for whole in _and_then(first + ready, pieces):
                for start in range(0, len(whole), _PIECE_BYTES):
                    piece = whole[start : start + _PIECE_BYTES]
                    self.connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.connection.sendall(b"0\r\n\r\n")
        except BaseException:
            self.close_connection = True
            raise

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True
        text = (message + "\n").encode("utf-8", "replace")
        self.send_response(status)
        headers = (
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
            ("Connection", "close"),
        )
        for name, value in (*headers, *((("Retry-After", "5"),) if status == 503 else ())):
            self.send_header(name, value)
        self.connection.settimeout(self.server.limits.send_seconds)
        self.end_headers()
        self.wfile.write(text)
        self._linger()

    def _linger(self) -> None:
        """Take in what is still coming for a moment: closing at once would reset the connection, and the answer be lost."""
        self.connection.shutdown(socket.SHUT_WR)
        self._timed.allow(_LINGER_SECONDS)
        while self.rfile.read1(_PIECE_BYTES):
            continue

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what the parser of requests does not understand."""
        self._refuse(code, message or "bad request")

    def log_message(self, format: str, *values: Any) -> None:
        """Say nothing: the server tells of what it served."""


def _and_then(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest

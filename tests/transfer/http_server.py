"""git's own server program (`git http-backend`) behind http.server, with passwords, TLS, and faults on demand."""

from __future__ import annotations

import base64
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

ADDRESS = "127.0.0.1"


class Reply(NamedTuple):
    """An answer that is given instead of git's. `status` 0 closes the connection without one."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


Intercept = Callable[[str, str], Reply | None]
"""Gets method and path with query; None lets git answer."""


class HttpServer:
    """Serves the bare repositories below `root` until the end of the `with`: `url("a.git")`.

    `user`, `password`: asked for when given. `tls`: a self-signed certificate; clients need `variables`. `intercept`: answers
    instead of git. `cut_after`: bytes of an answer to a POST after which connections break. `most_body`: bytes of a request above
    which 413 is the answer. `requests`: what was asked, "GET /a.git/info/refs?service=git-upload-pack".
    """

    def __init__(
        self, root: Path, *, user: str = "", password: str = "", tls: bool = False, config: tuple[str, ...] = ()
    ) -> None:
        self.root = root
        self.requests: list[str] = []
        self.intercept: Intercept | None = None
        self.cut_after: int | None = None
        self.most_body: int | None = None
        self.received_bytes = 0
        self.sent_bytes = 0
        self.variables: dict[str, str] = {}
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""
        self._config = ("http.receivepack=true", "safe.directory=*", *config)
        server = self

        class Handler(_Handler):
            owner = server

        self._server = ThreadingHTTPServer((ADDRESS, 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._scheme = "http"
        if tls:
            self._scheme = "https"
            certificate = make_certificate(root)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
            self.variables = {"GIT_SSL_CAINFO": str(certificate)}
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, name: str, userinfo: str = "") -> str:
        return f"{self._scheme}://{userinfo + '@' if userinfo else ''}{ADDRESS}:{self.port}/{name}"

    def environment(self) -> dict[str, str]:
        """Return what git http-backend gets beside the variables of CGI."""
        pairs = [each.partition("=") for each in self._config]
        variables = {"GIT_CONFIG_COUNT": str(len(pairs))}
        for number, (key, _, value) in enumerate(pairs):
            variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        kept = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL")
            if name in os.environ
        }
        return {**kept, **variables, "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1"}

    def may(self, authorization: str) -> bool:
        return not self._authorization or authorization == self._authorization

    @property
    def authorization(self) -> str:
        return self._authorization

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> HttpServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    owner: HttpServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        owner = self.owner
        owner.requests.append(f"{self.command} {self.path}")
        body = self._body()
        if body is None:
            return
        owner.received_bytes += len(body)
        reply = owner.intercept(self.command, self.path) if owner.intercept else None
        if reply is None and not owner.may(self.headers.get("Authorization", "")):
            reply = Reply(401, {"WWW-Authenticate": 'Basic realm="test"'})
        if reply is None and owner.most_body is not None and len(body) > owner.most_body:
            reply = Reply(413, {})
        if reply is not None:
            self._send(reply)
        else:
            self._run_git(body)

    def _body(self) -> bytes | None:
        """Return the body of the request, plain or chunked; None when the client went away."""
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = []
        while True:
            line = self.rfile.readline()
            if not line:
                self.close_connection = True
                return None
            size = int(line.split(b";")[0], 16)
            parts.append(self.rfile.read(size))
            self.rfile.readline()
            if not size:
                return b"".join(parts)

    def _send(self, reply: Reply) -> None:
        if not reply.status:
            self._break()
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in reply.headers:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def _break(self) -> None:
        """Reset the connection."""
        self.close_connection = True
        with_reset = b"\1\0\0\0\0\0\0\0"
        try:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, with_reset)
            self.wfile.flush()
        except OSError:
            return
        finally:
            self.connection.close()

    def _run_git(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        variables = {
            **self.owner.environment(),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "tester",
            "REMOTE_ADDR": ADDRESS,
        }
        with subprocess.Popen(
            ["git", "http-backend"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=variables,
        ) as running:
            assert running.stdin and running.stdout
            threading.Thread(target=_feed, args=(running.stdin, body), daemon=True).start()
            status, headers = 200, []
            while line := running.stdout.readline().strip().decode():
                name, _, value = line.partition(": ")
                if name == "Status":
                    status = int(value.split()[0])
                else:
                    headers.append((name, value))
            try:
                self._relay(status, headers, running.stdout.read)
            except OSError:
                self.close_connection = True
            running.kill()

    def _relay(self, status: int, headers: list[tuple[str, str]], read: Callable[[int], bytes]) -> None:
        left = self.owner.cut_after if self.command == "POST" else None
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while data := read(65536):
            if left is not None:
                data, left = data[:left], left - len(data)
            self.owner.sent_bytes += len(data)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if data else b"")
            if left is not None and left <= 0:
                self._break()
                return
        self.wfile.write(b"0\r\n\r\n")


def _feed(pipe: object, body: bytes) -> None:
    try:
        pipe.write(body)  # type: ignore[attr-defined]
        pipe.close()  # type: ignore[attr-defined]
    except OSError:
        return


def make_certificate(folder: Path) -> Path:
    """Return the path of a fresh self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    path = folder / "certificate.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    words += [
        "-subj",
        f"/CN={ADDRESS}",
        "-addext",
        f"subjectAltName=IP:{ADDRESS}",
        "-keyout",
        str(path),
        "-out",
        str(path) + ".crt",
    ]
    subprocess.run(words, check=True, capture_output=True)
    with open(path, "ab") as file:
        file.write(Path(str(path) + ".crt").read_bytes())
    return path

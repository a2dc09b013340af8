"""A registry in this process that can be told to misbehave, and remembers what it was asked."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from tests.images.image_builder import INDEX, MANIFEST, Builder


class Asked(NamedTuple):
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


class Reply(NamedTuple):
    status: int
    body: bytes = b""
    headers: dict[str, str] = {}
    cut: int = -1
    """Send so many bytes of the body, then break the connection."""


Override = Callable[[Asked], Reply | None]


class FakeRegistry:
    """`overrides` are asked first, in order; the first Reply counts."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.builder = Builder()
        self.tags: dict[str, str] = {}
        self.asked: list[Asked] = []
        self.overrides: list[Override] = []
        self.user = ""
        """USER:PASSWORD that the token service, or `basic`, wants; "": nobody in particular."""
        self.token = ""
        """Wanted by the registry; "": nothing is."""
        self.basic = False
        self.refresh_token = ""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                headers = {key.lower(): value for key, value in self.headers.items()}
                asked = Asked(self.command, parts.path, parse_qs(parts.query), headers, self.rfile.read(length))
                registry.asked.append(asked)
                reply = registry.reply(asked)
                self.send_response(reply.status)
                for key, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body if reply.cut < 0 else reply.body[: reply.cut])
                if reply.cut >= 0:
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # TLS knocking at a plain port, connections that the client ends

        self._server = Server(("127.0.0.1", 0), Handler)
        self.scheme = "https" if context else "http"
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def tag(self, name: str, descriptor: dict[str, Any]) -> str:
        """Make NAME:TAG name a manifest or index; return the reference of it."""
        self.tags[name.rpartition(":")[2]] = descriptor["digest"]
        return f"docker://{self.host}/{name}"

    def once(self, override: Override) -> None:
        """Add an override that replies once."""
        done: list[bool] = []

        def reply(asked: Asked) -> Reply | None:
            found = None if done else override(asked)
            if found is not None:
                done.append(True)
            return found

        self.overrides.append(reply)

    def paths(self, part: str = "/v2/") -> list[str]:
        return [asked.path for asked in self.asked if part in asked.path]

    def reply(self, asked: Asked) -> Reply:
        for override in self.overrides:
            if (found := override(asked)) is not None:
                return found
        if asked.path == "/token":
            return self._give_token(asked)
        if self.basic and asked.authorization != "Basic " + base64.b64encode(self.user.encode()).decode():
            return Reply(401, headers={"WWW-Authenticate": 'Basic realm="here"'})
        if self.token and asked.authorization != f"Bearer {self.token}":
            realm = f'Bearer realm="{self.scheme}://{self.host}/token",service="fake",scope="repository:me/app:pull"'
            return Reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}', {"WWW-Authenticate": realm})
        if asked.path == "/v2/":
            return Reply(200)
        *_, kind, reference = asked.path.split("/")
        digest = self.tags.get(reference, reference)
        data = self.builder.blobs.get(digest)
        if data is None:
            return Reply(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such thing"}]}')
        headers = {"Docker-Content-Digest": digest}
        if kind == "manifests":
            headers["Content-Type"] = INDEX if b'"manifests"' in data else MANIFEST
        start = asked.headers.get("range", "").removeprefix("bytes=").rstrip("-")
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            return Reply(206, data[int(start) :], headers)
        return Reply(200, data, headers)

    def _give_token(self, asked: Asked) -> Reply:
        if asked.method == "POST":
            given = parse_qs(asked.body.decode()).get("refresh_token", [""])[0]
            good = given == self.refresh_token != ""
            return Reply(200, json.dumps({"access_token": self.token}).encode()) if good else Reply(401)
        wanted = "Basic " + base64.b64encode(self.user.encode()).decode()
        if self.user and asked.authorization != wanted:
            return Reply(401)
        return Reply(200, json.dumps({"token": self.token}).encode())

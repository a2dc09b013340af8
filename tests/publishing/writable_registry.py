"""A registry in this process that takes uploads, remembers what it was asked, and can be told to misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Asked(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    size: int
    """Of the body that arrived."""
    all_scopes: str = ""
    """What a token is asked for, with spaces between."""


class Reply(NamedTuple):
    status: int
    body: bytes = b""
    headers: dict[str, str] = {}


BREAK = Reply(-1)
"""End the connection without an answer."""
Override = Callable[[Asked, bytes], Reply | None]


class WritableRegistry:
    """`blobs` and `manifests` by repository; `overrides` are asked first, the first Reply counts."""

    def __init__(self) -> None:
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.sessions: dict[str, bytearray] = {}
        self.asked: list[Asked] = []
        self.overrides: list[Override] = []
        self.referrers_api = True
        self.mounts = True
        self.token = ""
        """Wanted by the registry; "": nothing is."""
        self.scopes: list[list[str]] = []
        """What tokens were asked for."""
        self.takes_pieces = True
        self.keeps_broken = True
        """Whether what arrived of a broken upload is kept."""
        self.break_after: list[int] = []
        """Break the connections of the next uploads after so many bytes each."""
        self.begun = 0
        self.lock = threading.Lock()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536

            def answer(self) -> None:
                parts = urlsplit(self.path)
                headers = {key.lower(): value for key, value in self.headers.items()}
                length = int(headers.get("content-length") or 0)
                with registry.lock:
                    most = registry.break_after.pop(0) if length > 1024 and registry.break_after else length
                body = self.rfile.read(min(most, length))
                words = parse_qs(parts.query)
                query = {key: value[0] for key, value in words.items()}
                scopes = " ".join(words.get("scope", []))
                asked = Asked(self.command, parts.path, query, headers, len(body), scopes)
                with registry.lock:
                    registry.asked.append(asked)
                    if most < length:
                        registry.broken(asked, body)
                        reply = BREAK
                    else:
                        reply = registry.reply(asked, body)
                if reply.status < 0:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for key, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def count(self, method: str, part: str = "/v2/") -> int:
        return sum(1 for asked in self.asked if asked.method == method and part in asked.path)

    def once(self, override: Override) -> None:
        """Add an override that replies once."""
        done: list[bool] = []

        def reply(asked: Asked, body: bytes) -> Reply | None:
            found = None if done else override(asked, body)
            if found is not None:
                done.append(True)
            return found

        self.overrides.append(reply)

    def broken(self, asked: Asked, body: bytes) -> None:
        session = asked.path.rpartition("/")[2]
        if self.keeps_broken and session in self.sessions:
            self.sessions[session] += body

    def reply(self, asked: Asked, body: bytes) -> Reply:
        for override in self.overrides:
            if (found := override(asked, body)) is not None:
                return found
        if asked.path == "/token":
            self.scopes.append(asked.all_scopes.split())
            return Reply(200, json.dumps({"token": self.token}).encode())
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            scope = f"repository:{_repository(asked.path)}:pull"
            realm = f'Bearer realm="http://{self.host}/token",service="fake",scope="{scope}"'
            return Reply(401, headers={"WWW-Authenticate": realm})
        repository = _repository(asked.path)
        kind, _, reference = asked.path.removeprefix(f"/v2/{repository}/").partition("/")
        if kind == "blobs" and reference.startswith("uploads/"):
            return self._upload(asked, body, repository, reference.removeprefix("uploads/"))
        if kind == "blobs":
            data = self.blobs.get(repository, {}).get(reference)
            return Reply(404) if data is None else Reply(200, data)
        if kind == "referrers":
            return self._referrers(repository, reference)
        if asked.method == "PUT":
            return self._put_manifest(asked, body, repository, reference)
        manifest = self.manifests.get(repository, {}).get(reference)
        return Reply(404) if manifest is None else Reply(200, manifest[1], {"Content-Type": manifest[0]})

    def _upload(self, asked: Asked, body: bytes, repository: str, session: str) -> Reply:
        if asked.method == "POST":
            mounted, source = asked.query.get("mount", ""), asked.query.get("from", "")
            if self.mounts and mounted in self.blobs.get(source, {}):
                self.blobs.setdefault(repository, {})[mounted] = self.blobs[source][mounted]
                return Reply(201)
            self.begun += 1
            name = f"session{self.begun}"
            self.sessions[name] = bytearray()
            return Reply(202, headers={"Location": f"/v2/{repository}/blobs/uploads/{name}?state=0", "Range": "0-0"})
        data = self.sessions.get(session)
        if data is None:
            return Reply(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')
        here = f"/v2/{repository}/blobs/uploads/{session}?state={len(data)}"
        had = {"Range": f"0-{max(len(data) - 1, 0)}", "Location": here}
        if asked.method == "GET":
            return Reply(204, headers=had)
        if asked.method == "PATCH":
            start = int(asked.headers["content-range"].partition("-")[0])
            if start and not self.takes_pieces:
                return Reply(405)
            if start != len(data):
                return Reply(416, headers=had)
            data += body
            after = f"/v2/{repository}/blobs/uploads/{session}?state={len(data)}"
            return Reply(202, headers={"Location": after, "Range": f"0-{len(data) - 1}"})
        data += body
        digest = "sha256:" + sha256(data).hexdigest()
        if digest != asked.query["digest"]:
            return Reply(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"not that digest"}]}')
        self.blobs.setdefault(repository, {})[digest] = bytes(data)
        del self.sessions[session]
        return Reply(201, headers={"Docker-Content-Digest": digest, "Location": f"/v2/{repository}/blobs/{digest}"})

    def _put_manifest(self, asked: Asked, body: bytes, repository: str, reference: str) -> Reply:
        digest = "sha256:" + sha256(body).hexdigest()
        stored = self.manifests.setdefault(repository, {})
        stored[digest] = stored[reference] = (asked.headers["content-type"], body)
        subject = json.loads(body).get("subject", {}).get("digest")
        headers = {"Docker-Content-Digest": digest}
        if subject and self.referrers_api:
            headers["OCI-Subject"] = subject
        return Reply(201, headers=headers)

    def _referrers(self, repository: str, digest: str) -> Reply:
        if not self.referrers_api:
            return Reply(404, b"page not found")
        found: dict[str, dict[str, Any]] = {}
        for media_type, data in self.manifests.get(repository, {}).values():
            fields = json.loads(data)
            if fields.get("subject", {}).get("digest") == digest:
                own = "sha256:" + sha256(data).hexdigest()
                entry: dict[str, Any] = {"mediaType": media_type, "digest": own, "size": len(data)}
                found[own] = {**entry, "artifactType": fields.get("artifactType", "")}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(found.values())}
        return Reply(200, json.dumps(index).encode(), {"Content-Type": INDEX})


def _repository(path: str) -> str:
    rest = path.removeprefix("/v2/")
    for word in ("/blobs/", "/manifests/", "/referrers/"):
        if word in rest:
            return rest.partition(word)[0]
    return rest

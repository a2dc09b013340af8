"""Pulls from one repository of one registry (OCI distribution specification 1.1)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from envgit.errors import HostileInput, SourceError
from envgit.registry.challenge import parse_challenges
from envgit.registry.credentials import Credentials
from envgit.registry.endpoints import Endpoint
from envgit.registry.tokens import authorize
from envgit.registry.transport import Answer, ConnectionLost, NotTls, Transport, host_of, join, origin_of

MOST_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
_ATTEMPTS: Final = 4
_MOST_REDIRECTS: Final = 5
_LONGEST_WAIT_SECONDS: Final = 30.0
_AGAIN: Final = frozenset((408, 429, 500, 502, 503, 504))
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))


class NotFound(SourceError):
    """The registry has no such repository, manifest or blob (or does not say so to us)."""


class Document(NamedTuple):
    """A manifest as it came: not verified."""

    data: bytes
    media_type: str
    digest: str
    """What the registry says its digest is; "" if it does not."""


class RegistryClient:
    """`endpoint.path` is the repository. `find_credentials` is called once, when the registry wants some."""

    def __init__(
        self, endpoint: Endpoint, find_credentials: Callable[[], Credentials | None], transport: Transport
    ) -> None:
        self._endpoint = endpoint
        self._find_credentials = find_credentials
        self._credentials: Credentials | None = None
        self._challenged = False
        self._transport = transport
        self._scheme = "https"
        self._authorization = ""
        self._reached = False

    @property
    def name(self) -> str:
        return f"{self._endpoint.host}/{self._endpoint.path}"

    def fetch_manifest(self, reference: str, accept: str) -> Document:
        """Fetch what a tag or digest names. Raises NotFound, SourceError, HostileInput (more than 4 MiB)."""
        for attempt in range(_ATTEMPTS):
            answer = self._get("GET", f"manifests/{reference}", {"Accept": accept})
            try:
                data = answer.read_small(MOST_DOCUMENT_BYTES)
            except ConnectionLost:
                if attempt == _ATTEMPTS - 1:
                    raise
                self.wait(attempt)
                continue
            if data is None:
                raise HostileInput(
                    f"the manifest of {self.name} has more than {MOST_DOCUMENT_BYTES:,} bytes",
                    hint="no honest image's has",
                )
            return Document(data, answer.header("Content-Type"), answer.header("Docker-Content-Digest"))
        raise AssertionError("unreachable")

    def head_manifest(self, reference: str, accept: str) -> str:
        """Return the digest that the registry says a tag has, "" if it does not say. Costs no pull at Docker Hub."""
        answer = self._get("HEAD", f"manifests/{reference}", {"Accept": accept})
        answer.close()
        return answer.header("Docker-Content-Digest")

    def open_blob(self, digest: str, size: int) -> BlobStream:
        """Begin to download a blob of `size` bytes; what comes is not verified."""
        return BlobStream(self, digest, size)

    def get_blob(self, digest: str, start: int) -> Answer:
        headers = {"Range": f"bytes={start}-"} if start else {}
        return self._get("GET", f"blobs/{digest}", headers)

    def wait(self, attempt: int, answer: Answer | None = None) -> None:
        """Sleep before the next attempt: as long as the registry says, else a little more each time."""
        said = answer.header("Retry-After") if answer is not None else ""
        seconds = float(said) if said.isdecimal() and said.isascii() and len(said) < 6 else 0.5 * 2**attempt
        time.sleep(min(seconds, _LONGEST_WAIT_SECONDS))

    def _get(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Send a request until it is answered with success. Raises what every failure means."""
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                answer = self._send_authorized(method, path, headers)
            except ConnectionLost:
                if last:
                    raise
                self.wait(attempt)
                continue
            if answer.status in (200, 206):
                return answer
            if last or answer.status not in _AGAIN:
                raise self._failure(answer, path)
            answer.close()
            self.wait(attempt, answer)
        raise AssertionError("unreachable")

    def _send_authorized(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        answer = self._send(method, path, headers)
        if answer.status != 401 or origin_of(answer.url) != origin_of(self._url(path)):
            return answer  # whom the registry redirects to may ask for nothing (CVE-2020-15157)
        challenges = parse_challenges(answer.challenges())
        answer.close()
        if not self._challenged:
            self._challenged = True
            self._credentials = self._find_credentials()
        self._authorization = authorize(
            challenges,
            self._url(path),
            f"repository:{self._endpoint.path}:pull",
            self._credentials,
            self._transport,
            insecure=self._endpoint.insecure,
        )
        return self._send(method, path, headers)

    def _send(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        try:
            answer = self._follow(method, self._url(path), headers)
        except (NotTls, ConnectionLost):
            if not self._endpoint.insecure or self._reached:
                raise
            self._scheme = "http" if self._scheme == "https" else "https"
            answer = self._follow(method, self._url(path), headers)
        self._reached = True
        return answer

    def _follow(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """Send and follow redirects. Credentials go to the registry itself and to nobody else."""
        home = origin_of(url)
        for _ in range(_MOST_REDIRECTS + 1):
            sent = dict(headers)
            origin = origin_of(url)
            if origin == home and self._authorization:
                sent["Authorization"] = self._authorization
            trusting = self._endpoint.insecure and origin.host == home.host
            answer = self._transport.request(method, url, sent, insecure=trusting)
            if answer.status not in _REDIRECTS:
                return answer
            location = answer.header("Location")
            answer.close()
            target = join(url, location)
            if origin_of(target).scheme == "http" and home.scheme == "https":
                raise SourceError(
                    f"{home.host} leads to {host_of(target)} without encryption", hint="ask who runs the registry"
                )
            url = target
        raise SourceError(f"{home.host} redirects more than {_MOST_REDIRECTS} times", hint="ask who runs the registry")

    def _url(self, path: str) -> str:
        return f"{self._scheme}://{self._endpoint.host}/v2/{self._endpoint.path}/{path}"

    def _failure(self, answer: Answer, path: str) -> SourceError:
        body = answer.read_small(64 * 1024) or b""
        said = _message(body)
        what = f"{self.name}, {path}" if "sha256:" in path else f"{self.name}:{path.rpartition('/')[2]}"
        tail = f": {said}" if said else ""
        login = f"docker login {self._endpoint.host}, or podman login {self._endpoint.host}"
        if answer.status in (401, 403):
            if self._credentials is not None:
                return NotFound(
                    f"access to {what} is denied with the credentials from {self._credentials.origin}{tail}",
                    hint=f"check the name; log in as somebody who may: {login}",
                )
            return NotFound(f"{what} does not exist, or needs a login{tail}", hint=f"check the name, or {login}")
        if answer.status == 404:
            return NotFound(f"there is no {what}{tail}", hint="check the name and the tag")
        if answer.status == 429:
            return SourceError(f"{self._endpoint.host} has had too many requests{tail}", hint=f"wait, or {login}")
        return SourceError(f"{self._endpoint.host} answers {answer.status} for {what}{tail}", hint="try again later")


class BlobStream:
    """The bytes of a blob, once, forward. A broken connection is taken up again where it broke."""

    def __init__(self, client: RegistryClient, digest: str, size: int) -> None:
        self._client = client
        self._digest = digest
        self._size = size
        self._position = 0
        self._skip = 0
        self._attempt = 0
        self._answer: Answer | None = None

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        while True:
            try:
                if self._answer is None:
                    self._answer = self._open()
                while self._skip:
                    self._skip -= len(self._read(min(self._skip, 1024 * 1024)))
                data = self._answer.read(size)
                if not data and self._position < self._size:
                    raise ConnectionLost(
                        f"{self._client.name}: the blob {self._digest} ended after {self._position} of {self._size} bytes",
                        hint="try again; if it stays so, the registry's copy is damaged",
                    )
            except ConnectionLost:
                self.close()
                self._attempt += 1
                if self._attempt >= _ATTEMPTS:
                    raise
                self._client.wait(self._attempt)
                continue
            if data:
                self._attempt = 0
            self._position += len(data)
            return data

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _open(self) -> Answer:
        answer = self._client.get_blob(self._digest, self._position)
        self._skip = 0
        if self._position and answer.status != 206:
            self._skip = self._position  # it does not know ranges: what was had already comes again
        elif self._position and not answer.header("Content-Range").startswith(f"bytes {self._position}-"):
            answer.close()
            raise SourceError(f"{self._client.name} answers with another range than asked", hint="try again")
        return answer

    def _read(self, size: int) -> bytes:
        assert self._answer is not None
        data = self._answer.read(size)
        if not data:
            raise ConnectionLost(f"{self._client.name}: the blob {self._digest} became shorter", hint="try again")
        return data


def _message(body: bytes) -> str:
    """Return what a registry's error document says, short; "" if there is nothing to read."""
    try:
        errors = json.loads(body)["errors"]
        text = str(errors[0].get("message") or errors[0]["code"])
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
        return ""
    return " ".join(text.split())[:200]

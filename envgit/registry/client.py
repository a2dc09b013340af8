"""Reads from one repository of one registry (OCI distribution specification 1.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from envgit.errors import HostileInput, SourceError
from envgit.registry.conversation import Conversation, NotFound
from envgit.registry.credentials import Credentials
from envgit.registry.endpoints import Endpoint
from envgit.registry.transport import Answer, ConnectionLost, Transport

__all__ = ["BlobStream", "Document", "NotFound", "RegistryClient"]

MOST_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
_ATTEMPTS: Final = 4


class Document(NamedTuple):
    """A manifest as it came: not verified."""

    data: bytes
    media_type: str
    digest: str
    """What the registry says its digest is; "" if it does not."""


class RegistryClient:
    """`endpoint.path` is the repository. `find_credentials` is called once, when the registry wants some."""

    def __init__(
        self,
        endpoint: Endpoint,
        find_credentials: Callable[[], Credentials | None],
        transport: Transport,
        actions: str = "pull",
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`note` hears when a registry asks to wait."""
        self.conversation = Conversation(endpoint, find_credentials, transport, actions, note)
        self.name = self.conversation.name
        self.wait = self.conversation.wait

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

    def open_blob(self, digest: str, size: int, start: int = 0) -> BlobStream:
        """Begin to download a blob of `size` bytes from `start` on; what comes is not verified."""
        return BlobStream(self, digest, size, start)

    def get_blob(self, digest: str, start: int) -> Answer:
        headers = {"Range": f"bytes={start}-"} if start else {}
        return self._get("GET", f"blobs/{digest}", headers)

    def _get(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Send a request until it is answered with success. Raises what every failure means."""
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                answer = self.conversation.send(method, path, headers)
            except ConnectionLost:
                if last:
                    raise
                self.wait(attempt)
                continue
            if answer.status in (200, 206):
                return answer
            if last or not self.conversation.is_worth_another(answer):
                raise self.conversation.failure(answer, path)
            answer.close()
            self.wait(attempt, answer)
        raise AssertionError("unreachable")


class BlobStream:
    """The bytes of a blob, once, forward. A broken connection is taken up again where it broke."""

    def __init__(self, client: RegistryClient, digest: str, size: int, start: int = 0) -> None:
        self._client = client
        self._digest = digest
        self._size = size
        self._position = start
        self._skip = 0
        self._attempt = 0
        self._answer: Answer | None = None

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        if self._answer is None and self._position and self._position >= self._size:
            return b""  # nothing is left to ask for
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

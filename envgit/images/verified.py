"""Streams that are what their digest says, or an error."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, Protocol

from envgit.errors import HostileInput, SourceError

DOCUMENT_BYTES: Final = 4 * 1024 * 1024
"""The most that a manifest, index or configuration may have, as containers/image and Docker Hub have it."""


class RawStream(Protocol):
    """What a verified stream reads from. `read` returns b"" at the end, and raises SourceError."""

    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class VerifiedStream:
    """Passes bytes on, counts and hashes them; the last read raises SourceError if they are not `digest` and `size`.

    `digest` "": only the size is checked; `size` -1: any.
    """

    def __init__(
        self, stream: RawStream, what: str, digest: str, size: int, forget: Callable[[], None] = lambda: None
    ) -> None:
        """`forget` is called when the bytes turn out to be wrong: whoever keeps them need not."""
        self._stream = stream
        self._forget = forget
        self._what = what
        self._digest = digest
        self._size = size
        self._hash = hashlib.new(digest.partition(":")[0]) if digest else None
        self._count = 0
        self._finished = False

    def read(self, size: int = 1024 * 1024, /) -> bytes:
        data = b"" if self._finished else self._stream.read(size)
        self._count += len(data)
        if 0 <= self._size < self._count:
            self._forget()
            raise SourceError(
                f"{self._what} has more than the {self._size} bytes it should have", hint="fetch or make it again"
            )
        if data:
            if self._hash is not None:
                self._hash.update(data)
        elif not self._finished:
            self._finished = True
            self._check()
        return data

    def drain(self) -> None:
        """Read what is left, so that everything is verified."""
        while self.read():
            pass

    def close(self) -> None:
        self._stream.close()

    def _check(self) -> None:
        if self._count < self._size:
            raise SourceError(
                f"{self._what} has {self._count} bytes, not the {self._size} it should have",
                hint="fetch or make it again",
            )
        if self._hash is not None and self._hash.hexdigest() != self._digest.partition(":")[2]:
            algorithm = self._digest.partition(":")[0]
            self._forget()
            raise SourceError(
                f"{self._what} is damaged: its digest is {algorithm}:{self._hash.hexdigest()}",
                hint="fetch or make it again",
            )


def read_document(stream: VerifiedStream, what: str) -> bytes:
    """Return everything of a small stream, verified, and close it. Raises HostileInput beyond DOCUMENT_BYTES."""
    try:
        parts: list[bytes] = []
        size = 0
        while data := stream.read():
            parts.append(data)
            size += len(data)
            if size > DOCUMENT_BYTES:
                raise too_large(what)
        return b"".join(parts)
    finally:
        stream.close()


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def too_large(what: str) -> HostileInput:
    return HostileInput(
        f"{what} has more than {DOCUMENT_BYTES:,} bytes", hint="no honest image has; make it again, or use another"
    )

"""What a client sends, within limits of time and size."""

from __future__ import annotations

import io
import socket
import time
import zlib
from email.message import Message
from typing import Final, Protocol

from envgit.serving.errors import BadRequest

MOST_BYTES: Final = 8 << 20
"""Of a request, unpacked: 160,000 commits that a client has."""
_LINE_BYTES: Final = 1024


class TimedReader(io.RawIOBase):
    """A socket as a file that must be read before a moment: whoever sends a byte now and then does not hold it for ever."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._deadline = 0.0

    def allow(self, seconds: float) -> None:
        """Let what is read from now on take that long altogether."""
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class Readable(Protocol):
    """A request's bytes after its headers."""

    def read(self, size: int, /) -> bytes: ...
    def readline(self, size: int, /) -> bytes: ...


def read_body(stream: Readable, headers: Message) -> bytes:
    """Return the body, unpacked. Raises BadRequest (status 411, 413, 415 or 400) and TimeoutError."""
    for name in ("Transfer-Encoding", "Content-Length", "Content-Encoding"):
        if len(headers.get_all(name, [])) > 1:
            raise BadRequest(f"the request has {name} twice")
    chunked, length = headers.get("Transfer-Encoding"), headers.get("Content-Length")
    if chunked is not None:
        if chunked.strip().lower() != "chunked" or length is not None:
            raise BadRequest("the request's length is given in a way that is not understood")
        data = _read_chunks(stream)
    elif length is None:
        raise BadRequest("the request has no length", status=411)
    else:
        if not (length.isascii() and length.isdigit()) or len(length) > 18:
            raise BadRequest("the request's length is no number")
        data = _read_exactly(stream, int(length), 0)
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return _unpack(data)
    if encoding != "identity":
        raise BadRequest("the request is compressed in a way that is not understood", status=415)
    return data


def _read_exactly(stream: Readable, size: int, before: int) -> bytes:
    if before + size > MOST_BYTES:
        raise BadRequest(f"the request is larger than {MOST_BYTES} bytes", status=413)
    data = stream.read(size)
    if len(data) != size:
        raise BadRequest("the request ended early")
    return data


def _read_chunks(stream: Readable) -> bytes:
    found = bytearray()
    while True:
        line = stream.readline(_LINE_BYTES)
        digits = line.split(b";", 1)[0].strip()
        if not line.endswith(b"\n") or not digits.isalnum() or len(digits) > 8:
            raise BadRequest("the request has a malformed chunk")
        try:
            size = int(digits, 16)
        except ValueError:
            raise BadRequest("the request has a malformed chunk") from None
        if not size:
            break
        found += _read_exactly(stream, size, len(found))
        if stream.readline(_LINE_BYTES).strip():
            raise BadRequest("the request has a malformed chunk")
    while stream.readline(_LINE_BYTES).strip():  # trailers
        continue
    return bytes(found)


def _unpack(data: bytes) -> bytes:
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        found = inflater.decompress(data, MOST_BYTES + 1)
    except zlib.error:
        raise BadRequest("the request is no gzip data") from None
    if len(found) > MOST_BYTES:
        raise BadRequest(f"the request is larger than {MOST_BYTES} bytes", status=413)
    if not inflater.eof or inflater.unused_data:
        raise BadRequest("the request is no gzip data")
    return found

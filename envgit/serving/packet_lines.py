"""git's pkt-lines (gitprotocol-common(5)): four hex digits of length, then the line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from envgit.serving.errors import BadRequest

FLUSH: Final = b"0000"
DELIMITER: Final = b"0001"
RESPONSE_END: Final = b"0002"
MOST_BYTES: Final = 65516
"""Of a line's content."""
_SPECIAL: Final = (FLUSH, DELIMITER, RESPONSE_END)
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")


def encode_line(data: bytes) -> bytes:
    """Return one line as it is sent."""
    return b"%04x%b" % (len(data) + 4, data)


def error_line(message: str) -> bytes:
    """Return the line that a client shows as `remote error: ...` and ends with."""
    return encode_line(b"ERR " + message.encode("utf-8", "replace")[: MOST_BYTES - 4])


def iter_lines(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (marker, line): the marker is FLUSH, DELIMITER, RESPONSE_END or b"" for a line. Raises BadRequest."""
    position, end = 0, len(data)
    while position < end:
        head = data[position : position + 4]
        if head in _SPECIAL:
            yield head, b""
            position += 4
            continue
        if len(head) < 4 or not _HEX.issuperset(head):
            raise BadRequest("the request is not made of packet lines")
        size = int(head, 16)
        if size < 4 or size - 4 > MOST_BYTES or position + size > end:
            raise BadRequest("the request has a packet line of a wrong length")
        yield b"", data[position + 4 : position + size]
        position += size


def join_lines(lines: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return what iter_lines() takes apart."""
    return b"".join(marker or encode_line(line) for marker, line in lines)

"""zlib streams for git objects: isal where it is installed (3 times zlib's speed), zlib where not."""

from __future__ import annotations

import zlib
from typing import Any

_fast: Any
try:
    from isal import isal_zlib as _fast
except ImportError:
    _fast = zlib

crc32 = _fast.crc32

_LEVEL = 1
_SAMPLE_ABOVE_BYTES = 16 * 1024
_SAMPLE_BYTES = 4 * 1024
_STORED_BLOCK_BYTES = 65535
MAX_RATIO = 1100
"""Above deflate's own limit of 1032: a claimed size beyond this times the stream is a lie."""


def compress(data: bytes) -> bytes:
    """Return a zlib stream of `data`; what does not shrink (sampled first) is stored in uncompressed blocks."""
    size = len(data)
    if size > _SAMPLE_ABOVE_BYTES and _is_dense(data, size):
        return store(data)
    stream: bytes = _fast.compress(data, _LEVEL)
    return stream


def _is_dense(data: bytes, size: int) -> bool:
    """Whether samples from start, middle and end of the data all fail to shrink by a sixteenth."""
    limit = _SAMPLE_BYTES - _SAMPLE_BYTES // 16
    for start in ((size - _SAMPLE_BYTES) // 2, size // 8, size - size // 8 - _SAMPLE_BYTES):
        if len(_fast.compress(data[start : start + _SAMPLE_BYTES], _LEVEL)) < limit:
            return False
    return True


def store(data: bytes) -> bytes:
    """Return a zlib stream of stored blocks (RFC 1950, RFC 1951 section 3.2.4): 5 bytes for every 65,535."""
    parts: list[bytes | memoryview] = [b"\x78\x01"]
    view = memoryview(data)
    size = len(data)
    for start in range(0, size or 1, _STORED_BLOCK_BYTES):
        block = view[start : start + _STORED_BLOCK_BYTES]
        length = len(block)
        final = start + length >= size
        parts.append(
            (b"\1" if final else b"\0") + length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little")
        )
        parts.append(block)
    parts.append(int(_fast.adler32(data)).to_bytes(4, "big"))
    return b"".join(parts)


def decompress(stream: bytes | memoryview, size: int) -> bytes:
    """Return the `size` bytes that a zlib stream at the start of `stream` holds; what follows it is ignored.

    Raises ValueError when the stream is damaged, ends early or holds another number of bytes. A claim of more
    bytes than the stream can hold is refused before memory is asked for.
    """
    if size > MAX_RATIO * len(stream) + 64:
        raise ValueError("claims more bytes than its stream can hold")
    try:
        data: bytes = _fast.decompress(stream, 15, size or 1)
    except Exception as error:  # isal_zlib.error and zlib.error share no base but Exception
        if isinstance(error, MemoryError):
            raise
        raise ValueError(str(error)) from None
    if len(data) != size:
        raise ValueError(f"holds {len(data)} bytes, not {size}")
    return data

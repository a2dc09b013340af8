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
_WINDOW_BYTES = 64 * 1024
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


def decompress_exact(data: memoryview, start: int, stop: int, size: int) -> tuple[bytes, int]:
    """Return the `size` bytes of the zlib stream that begins at `start`, and where it ends, at or before `stop`.

    As strict as git: header, checksum and size must be right. Raises ValueError. Memory is bounded by `size`.
    """
    if size > MAX_RATIO * (stop - start) + 64:
        raise ValueError("claims more bytes than its stream can hold")
    stream = _open_stream()
    window = min(size + (size >> 10) + 64, _WINDOW_BYTES)
    position, got = start, 0
    parts: list[bytes] = []
    try:
        while not stream.eof:
            piece = data[position : min(position + window, stop)] if stream.needs_input else b""
            position += len(piece)
            part = stream.decompress(piece, size + 1 - got)
            got += len(part)
            if got > size:
                raise ValueError(f"holds more than {size} bytes")
            parts.append(part)
            if not part and not piece and not stream.eof:
                raise ValueError("ends early")
    except ValueError:
        raise
    except Exception as error:  # igzip_lib.IsalError and zlib.error share no base but Exception
        if isinstance(error, MemoryError):
            raise
        raise ValueError(str(error)) from None
    if got != size:
        raise ValueError(f"holds {got} bytes, not {size}")
    return parts[0] if len(parts) == 1 else b"".join(parts), position - len(stream.unused_data)


class _ZlibStream:
    """zlib's decompressor with the interface of isal's."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail or data, max_length)


def _open_stream() -> Any:
    try:
        from isal import igzip_lib
    except ImportError:
        return _ZlibStream()
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_ZLIB)

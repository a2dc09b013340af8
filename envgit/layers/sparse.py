"""Write a file's bytes, with holes where there are zeros if it is sparse."""

from __future__ import annotations

import os
from collections.abc import Iterable

BLOCK_BYTES = 4096
_ZEROS = bytes(BLOCK_BYTES)


def write_dense(fd: int, pieces: Iterable[bytes]) -> int:
    """Write every byte at the offset of `fd`; return how many."""
    total = 0
    for piece in pieces:
        length = len(piece)
        written = os.write(fd, piece)
        while written < length:
            written += os.write(fd, memoryview(piece)[written:])
        total += length
    return total


def write_sparse(fd: int, pieces: Iterable[bytes]) -> int:
    """Write an empty file so that every 4096-byte-aligned block of zeros (a shorter last one too) is a hole."""
    offset = 0
    rest = b""
    for piece in pieces:
        data = rest + piece if rest else piece
        whole = len(data) - len(data) % BLOCK_BYTES
        _write_blocks(fd, data, whole, offset)
        offset += whole
        rest = bytes(data[whole:])
    if rest.strip(b"\0"):
        _write_at(fd, memoryview(rest), offset)
    total = offset + len(rest)
    os.ftruncate(fd, total)
    return total


def _write_blocks(fd: int, data: bytes, end: int, offset: int) -> None:
    view = memoryview(data)
    start = -1
    for position in range(0, end, BLOCK_BYTES):
        if view[position : position + BLOCK_BYTES] == _ZEROS:
            if start >= 0:
                _write_at(fd, view[start:position], offset + start)
                start = -1
        elif start < 0:
            start = position
    if start >= 0:
        _write_at(fd, view[start:end], offset + start)


def _write_at(fd: int, view: memoryview, offset: int) -> None:
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written

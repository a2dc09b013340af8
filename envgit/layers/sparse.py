"""Read and write a file's bytes; holes cost neither reading nor writing."""

from __future__ import annotations

import errno
import os
from array import array
from collections.abc import Iterable, Iterator

from envgit.model import ZEROS

BLOCK_BYTES = 4096
_ZERO_BLOCK = bytes(BLOCK_BYTES)


def iter_file(fd: int) -> Iterator[bytes]:
    """Yield the content of an open regular file from its start to its end, which may move meanwhile.

    Holes are not read: they are yielded as `ZEROS`, again and again. Does not depend on the offset, and moves it.
    """
    offset = 0
    while True:
        try:
            data = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            data = os.fstat(fd).st_size  # nothing but a hole follows, if anything
            if data <= offset:
                return
        while offset < data:
            take = min(data - offset, len(ZEROS))
            yield ZEROS if take == len(ZEROS) else ZEROS[:take]
            offset += take
        try:
            hole = os.lseek(fd, data, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            continue
        while offset < hole:
            piece = os.pread(fd, min(hole - offset, len(ZEROS)), offset)
            if not piece:
                return
            yield piece
            offset += len(piece)


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
    total = 0
    for total, view in iter_data(pieces):
        _write_at(fd, view, total)
    os.ftruncate(fd, total)
    return total


def iter_data(pieces: Iterable[bytes]) -> Iterator[tuple[int, memoryview]]:
    """Yield what is left of a content without its 4096-byte-aligned blocks of zeros: (offset, bytes), in order.

    Runs that touch may be yielded in parts. The last pair is (size of the content, no bytes).
    """
    offset = 0
    rest = b""
    for piece in pieces:
        if ZEROS.startswith(piece) and ZEROS.startswith(rest):
            size = len(rest) + len(piece)
            offset += size - size % BLOCK_BYTES
            rest = ZEROS[: size % BLOCK_BYTES]
            continue
        data = rest + piece if rest else piece
        whole = len(data) - len(data) % BLOCK_BYTES
        view = memoryview(data)
        start = -1
        for position in range(0, whole, BLOCK_BYTES):
            if data[position : position + BLOCK_BYTES] == _ZERO_BLOCK:
                if start >= 0:
                    yield offset + start, view[start:position]
                    start = -1
            elif start < 0:
                start = position
        if start >= 0:
            yield offset + start, view[start:whole]
        offset += whole
        rest = bytes(data[whole:])
    if rest.strip(b"\0"):
        yield offset, memoryview(rest)
    yield offset + len(rest), memoryview(b"")


def find_data(pieces: Iterable[bytes]) -> tuple[array[int], int]:
    """Return where the data of a content is, as offset, length, offset, length, ...; and the size of the content."""
    numbers: array[int] = array("q")
    end = 0
    for offset, view in iter_data(pieces):
        if not view:
            return numbers, offset
        if numbers and offset == end:
            numbers[-1] += len(view)
        else:
            numbers.extend((offset, len(view)))
        end = offset + len(view)
    return numbers, end


def _write_at(fd: int, view: memoryview, offset: int) -> None:
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written

"""Where a file has data and where holes, and how a tar archive says so (GNU tar manual, "PAX Format, Version 1.0")."""

from __future__ import annotations

import errno
import os

from envgit.errors import SandboxError

Extent = tuple[int, int]
"""Offset and length of data, in bytes."""

_BLOCK_BYTES = 512


def data_extents(fd: int, size: int) -> tuple[Extent, ...]:
    """Return where the first `size` bytes of a file have data; all of them where the filesystem does not know (lseek(2))."""
    found: list[Extent] = []
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                break
            return ((0, size),)
        if start >= end:
            break
        found.append((start, end - start))
    return tuple(found)


def format_map(extents: tuple[Extent, ...], size: int) -> bytes:
    """Return what stands before the data of a sparse member; an empty extent at the end says how long the file is."""
    numbers = [len(extents) + 1, *(number for extent in extents for number in extent), size, 0]
    text = "".join(f"{number}\n" for number in numbers).encode("ascii")
    return text.ljust(-(-len(text) // _BLOCK_BYTES) * _BLOCK_BYTES, b"\0")


def check_extents(extents: list[Extent], size: int) -> tuple[Extent, ...]:
    """Return the extents of a member as far as they are not empty. Raises SandboxError unless they ascend and end within `size`."""
    end = 0
    for start, length in extents:
        if start < end or length < 0 or start + length > size:
            raise SandboxError("the archive is damaged: the holes of a file contradict each other")
        end = start + length
    return tuple(extent for extent in extents if extent[1])


def stored_bytes(extents: tuple[Extent, ...]) -> int:
    """Return how much of an archive the extents take, with the padding."""
    return -(-sum(length for _, length in extents) // _BLOCK_BYTES) * _BLOCK_BYTES

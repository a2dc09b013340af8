"""Holes are neither read nor written, and what is read is what a plain read gives."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envgit.layers.memory_tree import hash_open_file
from envgit.layers.sparse import iter_file, write_sparse
from envgit.model import ZEROS

MIB = 1 << 20
PARTS = st.lists(st.tuples(st.booleans(), st.integers(0, 3 * MIB // 4096)), max_size=5)


def sparse_file(path: Path, parts: list[tuple[bool, int]], tail: int = 0) -> int:
    """Write runs of data and holes, in pages, and a last hole of some bytes; return the file open for reading."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    offset = 0
    for is_data, pages in parts:
        if is_data:
            os.pwrite(fd, b"data" * (pages * 1024), offset)
        offset += pages * 4096
    os.ftruncate(fd, offset + tail)
    return fd


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(PARTS, st.integers(0, 5000))
def test_what_is_read_is_what_is_there(tmp_path: Path, parts: list[tuple[bool, int]], tail: int) -> None:
    fd = sparse_file(tmp_path / "file", parts, tail)
    try:
        os.lseek(fd, 3, os.SEEK_SET)
        content = (tmp_path / "file").read_bytes()
        assert b"".join(iter_file(fd)) == content
        assert hash_open_file(fd) == hashlib.sha256(content).digest()
    finally:
        os.close(fd)


def test_a_hole_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fd = sparse_file(tmp_path / "file", [(True, 1), (False, 1 << 18), (True, 1)])
    read: list[int] = []
    pread = os.pread

    def counting(fd: int, size: int, offset: int) -> bytes:
        data = pread(fd, size, offset)
        read.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counting)
    pieces = list(iter_file(fd))
    os.close(fd)
    assert sum(read) <= 64 * 1024
    assert sum(piece is ZEROS for piece in pieces) >= 1023
    assert sum(map(len, pieces)) == (1 << 30) + 8192


def test_a_file_that_grows_or_shrinks_meanwhile_ends(tmp_path: Path) -> None:
    fd = sparse_file(tmp_path / "file", [(True, 1024), (False, 1024)])
    pieces = iter_file(fd)
    next(pieces)
    os.ftruncate(fd, 5000)
    assert sum(map(len, pieces)) <= 7 * MIB
    pieces = iter_file(fd)
    os.pwrite(fd, b"x", 3 * MIB)
    assert sum(map(len, pieces)) == 3 * MIB + 1
    os.close(fd)


def test_a_hole_is_not_written_wherever_it_begins(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"first"
        for _ in range(4096):
            yield ZEROS
        yield b"last"

    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    assert write_sparse(fd, pieces()) == 4096 * MIB + 9
    status = os.fstat(fd)
    assert (status.st_size, status.st_blocks * 512 <= 64 * 1024) == (4096 * MIB + 9, True)
    assert os.pread(fd, 9, status.st_size - 9) == b"\0\0\0\0\0last"
    os.close(fd)

"""Content-defined chunks: cuts depend on content alone, changes stay local, and the parameters are frozen."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import pytest
from pyfastcdc import FastCDC

from envgit.model import ZEROS
from envgit.store.chunks import (
    CHUNK_AVERAGE_BYTES,
    CHUNK_MAX_BYTES,
    CHUNK_MIN_BYTES,
    ZERO_CHUNK,
    iter_chunks,
    iter_groups,
    put_chunk_tree,
)
from envgit.store.objects import encode_tree, hash_object


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def sliced(data: bytes, piece: int) -> list[bytes]:
    return [data[start : start + piece] for start in range(0, len(data), piece)]


@pytest.mark.parametrize("piece", [1 << 20, 999_983, 65_536, 13 << 20])
def test_cuts_do_not_depend_on_how_content_arrives(piece: int) -> None:
    data = noise(12 << 20)
    chunks = list(iter_chunks(sliced(data, piece)))
    assert b"".join(chunks) == data
    assert chunks == list(iter_chunks([data]))
    assert all(CHUNK_MIN_BYTES <= len(chunk) <= CHUNK_MAX_BYTES for chunk in chunks[:-1])


def test_the_parameters_are_part_of_the_format() -> None:
    """A change of library or parameters changes ids: this is the frozen answer of format 1."""
    lengths = [len(chunk) for chunk in iter_chunks([noise(2 << 20)])]
    assert lengths[:6] == FROZEN_LENGTHS
    assert hashlib.sha256(repr(lengths).encode()).hexdigest() == FROZEN_DIGEST


FROZEN_LENGTHS = [74185, 106069, 24113, 27575, 78084, 66565]
FROZEN_DIGEST = "bca1ed7fb2680e782d50a21b7de2da4ef0bdaeb37ef786822d5ebe17d6f51019"


def test_an_empty_content_has_no_chunk() -> None:
    assert list(iter_chunks([])) == [] and list(iter_chunks([b"", b""])) == []


def test_groups_end_at_a_zero_byte_or_when_full() -> None:
    oids = [bytes((1,)) * 20] * 1500 + [bytes(20)] + [bytes((2,)) * 20] * 3
    assert [len(group) for group in iter_groups(oids)] == [1024, 477, 3]


@pytest.mark.parametrize("edit", ["page", "insert", "append"])
def test_an_edit_rewrites_kilobytes(edit: str) -> None:
    """One changed page or an insertion in 64 MB stores one or two chunks, one group or two, and the top tree."""
    old = noise(64 << 20)
    middle = 30 << 20
    new = {
        "page": old[:middle] + noise(4096, 2) + old[middle + 4096 :],
        "insert": old[:middle] + b"a few bytes" + old[middle:],
        "append": old + b"the end",
    }[edit]
    known: set[bytes] = set()
    stored = 0

    def put(type: str, data: bytes) -> bytes:
        nonlocal stored
        oid = hash_object(type, data)
        stored += 0 if oid in known else len(data)
        known.add(oid)
        return oid

    def store(data: bytes) -> bytes:
        return put_chunk_tree([data], lambda blob: put("blob", blob), lambda entries: put("tree", encode_tree(entries)))

    before = store(old)
    stored = 0
    assert store(new) != before
    assert stored < 600_000


@pytest.mark.parametrize("seed", range(12))
def test_a_hole_is_cut_as_its_zeros_are(seed: int) -> None:
    """Runs of zeros are cut without the cutter; the cuts must be those that it makes."""
    choose = random.Random(seed)
    pieces: list[bytes] = []
    for number in range(choose.randrange(1, 5)):
        pieces.append(noise(choose.randrange(6 << 20), seed + number))
        pieces += [ZEROS] * choose.randrange(12)
        pieces.append(ZEROS[: choose.randrange(1 << 20)])
    if seed % 3 == 0:
        pieces.append(ZEROS)
    plain = b"".join(pieces)
    cutter = FastCDC(
        avg_size=CHUNK_AVERAGE_BYTES, min_size=CHUNK_MIN_BYTES, max_size=CHUNK_MAX_BYTES, normalized_chunking=2, seed=0
    )
    expected = [chunk.length for chunk in cutter.cut_buf(plain)]
    for arriving in (pieces, [plain], sliced(plain, 77_777)):
        assert [len(chunk) for chunk in iter_chunks(arriving)] == expected


def test_a_large_hole_costs_neither_memory_nor_hashing() -> None:
    """64 GB of zeros: the chunk is put once, though it is there 262,144 times."""
    stored: list[int] = []

    def put_blob(data: bytes) -> bytes:
        stored.append(len(data))
        return hash_object("blob", data)

    def pieces() -> Iterator[bytes]:
        yield b"start"
        for _ in range(1 << 16):
            yield ZEROS

    trees: list[int] = []

    def put_tree(entries: list[tuple[int, bytes, bytes]]) -> bytes:
        trees.append(len(entries))
        return hash_object("tree", encode_tree(entries))

    put_chunk_tree(pieces(), put_blob, put_tree)
    assert sum(trees[:-1]) == 1 << 18 | 1
    assert len(stored) < 30
    assert stored.count(CHUNK_MAX_BYTES) < 20


def test_zeros_are_cut_at_the_maximum() -> None:
    assert [len(chunk) for chunk in iter_chunks([bytes(1 << 20)])] == [CHUNK_MAX_BYTES] * 4
    assert not any(ZERO_CHUNK)
    assert len(ZERO_CHUNK) == CHUNK_MAX_BYTES

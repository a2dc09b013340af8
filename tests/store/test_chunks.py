"""Content-defined chunks: cuts depend on content alone, changes stay local, and the parameters are frozen."""

from __future__ import annotations

import hashlib
import random

import pytest

from envgit.store.chunks import CHUNK_MAX_BYTES, CHUNK_MIN_BYTES, iter_chunks, iter_groups, put_chunk_tree
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

"""One content has one chunk tree: other names and modes are refused by every reader, other cuts by fsck."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256

import pytest

from envgit.errors import CorruptObject
from envgit.model import CHUNKED_ABOVE_BYTES, Child, Entry
from envgit.store.chunks import GROUP_MAX_CHUNKS, iter_chunks, iter_groups
from envgit.store.objects import encode_tree, hash_object
from envgit.trees import MODE_EXECUTABLE, MODE_FILE, MODE_TREE, GitContent, GitTreeReader

DATA = random.Random(5).randbytes(CHUNKED_ABOVE_BYTES + 4321)
Groups = list[list[bytes]]


class Objects(dict[bytes, tuple[str, bytes]]):
    def put(self, type: str, data: bytes) -> bytes:
        oid = hash_object(type, data)
        self[oid] = (type, data)
        return oid

    def read(self, oid: bytes) -> tuple[str, bytes]:
        return self[oid]


def stored(
    change: Callable[[Groups], Groups] = lambda groups: groups,
    *,
    chunk_name: str = "%04x",
    group_name: str = "%06x",
    mode: int = MODE_FILE,
) -> tuple[GitTreeReader, Child]:
    """Return a reader, and a file whose chunks were changed on the way into it."""
    objects = Objects()
    chunks = {objects.put("blob", chunk): chunk for chunk in iter_chunks([DATA])}
    groups = change([[chunks[oid] for oid in group] for group in iter_groups(list(chunks))])
    tree = []
    for number, group in enumerate(groups):
        entries = [
            (mode, (chunk_name % index).encode(), objects.put("blob", chunk)) for index, chunk in enumerate(group)
        ]
        tree.append((MODE_TREE, (group_name % number).encode(), objects.put("tree", encode_tree(entries))))
    oid = objects.put("tree", encode_tree(tree))
    entry = Entry(b"big", "f", 0o644, size=len(DATA), sha256=sha256(DATA).digest())
    return GitTreeReader(objects), Child(entry, GitContent(MODE_TREE, oid))


def test_what_the_format_says_is_sound() -> None:
    reader, child = stored()
    assert reader.check_content(child) == len(DATA)
    assert b"".join(reader.iter_content(child)) == DATA


def halved(groups: Groups) -> Groups:
    first, *rest = groups[0]
    return [[first[:100], first[100:], *rest], *groups[1:]]


def joined(groups: Groups) -> Groups:
    first, second, *rest = groups[0]
    return [[first + second, *rest], *groups[1:]]


def regrouped(groups: Groups) -> Groups:
    everything = [chunk for group in groups for chunk in group]
    assert len(everything) < GROUP_MAX_CHUNKS
    return [everything[:1], everything[1:]]


def with_empty_chunk(groups: Groups) -> Groups:
    return [[b"", *groups[0]], *groups[1:]]


@pytest.mark.parametrize("change", [halved, joined, regrouped, with_empty_chunk])
def test_odd_cuts_are_read_but_not_sound(change: Callable[[Groups], Groups]) -> None:
    reader, child = stored(change)
    assert b"".join(reader.iter_content(child)) == DATA
    with pytest.raises(CorruptObject, match="cut in other places"):
        reader.check_content(child)


@pytest.mark.parametrize(
    "odd",
    [{"chunk_name": "%05x"}, {"chunk_name": "1%03x"}, {"group_name": "%x"}, {"mode": MODE_EXECUTABLE}],
    ids=repr,
)
def test_odd_names_and_modes_are_not_read(odd: dict[str, object]) -> None:
    reader, child = stored(**odd)  # type: ignore[arg-type]
    with pytest.raises(CorruptObject, match="another name or mode"):
        list(reader.iter_content(child))

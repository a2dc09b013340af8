"""Merge small packs, so that a lookup never has to ask many (the idea of git repack --geometric).

Entries are copied as they are, never inflated. Packs end up in a row where each is at least twice the size of all
smaller ones together, so every object is copied O(log n) times over a history.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from envgit.errors import CorruptObject
from envgit.store import storage
from envgit.store.deflate import crc32
from envgit.store.pack_reader import TYPE_NAMES, Pack
from envgit.store.pack_writer import RECORD, PackFileWriter, PackResult

DUE_AT_PACKS = 24
_FACTOR = 2
_PACK_MAX_BYTES = 1 << 30
_FOREIGN = (".keep", ".promisor", ".mtimes", ".bitmap")


class _Candidate(NamedTuple):
    bytes: int
    path: str
    """Without extension."""


def _candidates(objects_dir: str) -> list[_Candidate]:
    """Return the packs that may be merged, smallest first: none that git or a user marked."""
    folder = objects_dir + "/pack"
    names = set(os.listdir(folder))
    found: list[_Candidate] = []
    for name in names:
        stem, extension = os.path.splitext(name)
        if extension != ".idx" or stem + ".pack" not in names or any(stem + mark in names for mark in _FOREIGN):
            continue
        try:
            size = os.stat(f"{folder}/{stem}.pack").st_size
        except FileNotFoundError:
            continue
        if size < _PACK_MAX_BYTES:
            found.append(_Candidate(size, f"{folder}/{stem}"))
    return sorted(found)


def is_due(objects_dir: str) -> bool:
    """Whether there are so many packs that merging pays; one directory listing."""
    names = os.listdir(objects_dir + "/pack")
    kept = sum(name.endswith(".keep") for name in names)
    return sum(name.endswith(".idx") for name in names) - kept >= DUE_AT_PACKS


def plan_merge(sizes: list[int]) -> int:
    """Return how many of the packs (ascending sizes) to merge into one; fewer than 2 means nothing to do."""
    split = 0
    for index in range(len(sizes) - 1, 0, -1):
        if sizes[index] < _FACTOR * sizes[index - 1]:
            split = index + 1
            break
    total = sum(sizes[:split])
    while split < len(sizes) and sizes[split] < _FACTOR * total:
        total += sizes[split]
        split += 1
    return split


def consolidate(objects_dir: str) -> PackResult | None:
    """Merge the smallest packs; returns the new pack, None when nothing was merged. Call under the repository's lock.

    The new pack is durable and visible before the first old index is removed, and an old index goes before its pack:
    a reader always finds every object. Packs with deltas (stock git's) are left alone. Raises StorageError and
    CorruptObject.
    """
    candidates = _candidates(objects_dir)
    count = plan_merge([candidate.bytes for candidate in candidates])
    if count < 2:
        return None
    writer = PackFileWriter(objects_dir)
    merged: list[str] = []
    written: set[bytes] = set()
    try:
        for candidate in candidates[:count]:
            if _copy(candidate, writer, written):
                merged.append(candidate.path)
        if len(merged) < 2:
            return None
        result = writer.finish()
    finally:
        writer.abort()
    storage.unlink(objects_dir + "/pack/multi-pack-index", step="consolidate-unlink-midx")
    for path in merged:
        if os.path.basename(path) != result.name:
            for extension in (".idx", ".rev", ".pack"):
                storage.unlink(path + extension, step="consolidate-unlink")
    return result


def _copy(candidate: _Candidate, writer: PackFileWriter, written: set[bytes]) -> bool:
    """Append the entries of a pack that are not written yet; False: it has deltas or vanished, nothing was copied."""
    try:
        pack = Pack(candidate.path + ".idx")
        data = pack.data()
    except FileNotFoundError:
        return False
    entries = pack.index.entries()
    end = len(data) - 20
    if not entries or entries[0][0] != 12 or any(data[offset] >> 4 & 7 not in TYPE_NAMES for offset, _, _ in entries):
        return False
    stops = [offset for offset, _, _ in entries[1:]] + [end]
    for (offset, oid, crc), stop in zip(entries, stops, strict=True):
        if oid in written:
            continue
        raw = data[offset:stop]
        if crc32(raw) != crc:
            raise CorruptObject(f"pack {pack.path} is damaged at offset {offset}: it is not merged")
        written.add(oid)
        writer.records += RECORD.pack(oid, crc, writer.offset)
        writer.append(raw)
    return True

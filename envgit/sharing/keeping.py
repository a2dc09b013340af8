"""Which of the packs that a repository keeps for sharing it still wants as they are."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from envgit.errors import EnvgitError
from envgit.sharing.linking import KEEP_TEXT
from envgit.sharing.lookup import wanted_part
from envgit.sharing.reach import find_reachable
from envgit.store import storage
from envgit.store.object_store import ObjectStore
from envgit.store.pack_writer import remove_leftovers

_SETTLING_SECONDS = 3600
"""A pack without its index that is younger may be about to be whole."""
_MOST_KEPT = 16
"""Kept packs are not merged, and a lookup asks each."""
_WORTH_KEEPING = 0.5
"""The part of a pack's bytes that must still be wanted."""


def release_packs(objects: ObjectStore, tips: Iterable[bytes] | None) -> tuple[str, ...]:
    """Let go of kept packs that are one too many or, given the commits that hold everything, mostly garbage.

    Only our `.keep` is removed: what is wanted of such a pack is then taken over by the next merge or `git repack`, and the
    rest dropped by those. Returns the packs' names. Also removes what killed links left. Raises StorageError.
    """
    folder = objects.objects_dir + "/pack"
    _remove_half_links(folder)
    kept = [pack for pack in objects.refresh() if _is_ours(pack.path[:-5] + ".keep")]
    kept.sort(key=lambda pack: -pack.index.count)
    released = kept[_MOST_KEPT:]
    if tips is not None and kept:
        try:
            wanted = find_reachable(objects, tips, cut=objects.shallow())
        except EnvgitError:  # something is damaged or missing: nothing is let go
            wanted = None
        if wanted is not None:
            released += [pack for pack in kept[:_MOST_KEPT] if wanted_part(pack, wanted) < _WORTH_KEEPING]
    for pack in released:
        storage.unlink(pack.path[:-5] + ".keep", step="release-keep")
    return tuple(os.path.basename(pack.path)[:-5] for pack in released)


def _is_ours(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(KEEP_TEXT) + 1) == KEEP_TEXT
    except OSError:
        return False


def _is_old_and_ours(path: str) -> bool:
    try:
        return time.time() - os.stat(path).st_mtime > _SETTLING_SECONDS and _is_ours(path)
    except OSError:
        return False


def _remove_half_links(folder: str) -> None:
    """Remove packs and marks of ours that a killed command left without their index."""
    names = set(os.listdir(folder))
    for name in names:
        stem, extension = os.path.splitext(name)
        if extension == ".keep" and stem + ".idx" not in names and _is_old_and_ours(f"{folder}/{name}"):
            for path in (f"{folder}/{stem}.pack", f"{folder}/{name}"):
                storage.unlink(path, step="release-half")
    remove_leftovers(os.path.dirname(folder))

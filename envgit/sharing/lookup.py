"""Find objects in many packs at little cost when most packs have none of them.

A pack that had the last objects is asked for each; one that had none is asked more and more rarely, at
least once in _RAREST objects, and for every object that would cost much to write. So a hundred packs of other projects
cost what a few do, and a pack that only has the second half of an image is still found.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import suppress
from typing import NamedTuple

from envgit.errors import CorruptObject, EnvgitError
from envgit.store.object_store import ObjectStore
from envgit.store.pack_reader import Pack

_RAREST = 256
_COLD_AFTER_MISSES = 64


class Use(NamedTuple):
    """What is wanted of one pack. `part`: of its bytes, 0 to 1."""

    name: str
    path: str
    oids: tuple[bytes, ...]
    part: float


class _Asked:
    """One pack and how it has answered."""

    __slots__ = ("misses", "oids", "pack", "pause", "wait")

    def __init__(self, pack: Pack) -> None:
        self.pack = pack
        self.oids: dict[bytes, None] = {}
        self.pause = self.wait = self.misses = 0

    def has(self, oid: bytes, insist: bool) -> bool:
        if self.wait and not insist:
            self.wait -= 1
            return False
        if self.pack.index.find(oid) is not None:
            if not self.oids:
                self.pack.open()  # mapped, it stays readable whoever deletes it
            self.oids[oid] = None
            self.pause = self.misses = 0
            return True
        self.misses += 1
        if not self.oids or self.misses > _COLD_AFTER_MISSES:
            self.pause = min(2 * self.pause + 1, _RAREST)
            self.wait = self.pause
        return False


class Lookup:
    """Ask the packs of a store for objects, and remember which were found where. Without a store nothing is found."""

    def __init__(self, objects: ObjectStore | None) -> None:
        self._objects = objects
        self._packs: list[_Asked] = []
        self._found: dict[bytes, None] = {}
        with suppress(EnvgitError, OSError):
            self._packs = [_Asked(pack) for pack in objects.packs()] if objects is not None else []

    def find(self, oid: bytes, *, insist: bool = False) -> bool:
        """Say whether a pack has the object; unless `insist`, "no" may be wrong, which costs writing it."""
        if oid in self._found:
            return True
        for asked in self._packs:
            try:
                if not asked.has(oid, insist):
                    continue
            except (EnvgitError, OSError):  # damaged, or deleted meanwhile: it is as if it were not there
                self._packs.remove(asked)
                return False
            self._found[oid] = None
            if asked is not self._packs[0]:
                self._packs.remove(asked)
                self._packs.insert(0, asked)
            return True
        return False

    def read(self, oid: bytes) -> tuple[str, bytes]:
        """Return (type, content) of an object that was found, checked against its id. Raises CorruptObject."""
        assert self._objects is not None
        try:
            return self._objects.read(oid)
        except CorruptObject as error:
            hint = f"delete {self._objects.git_dir}: nothing needs it; then run the command again"
            raise CorruptObject(f"a shared pack is damaged: {error.message}", hint=hint) from error

    def uses(self) -> Iterator[Use]:
        """Yield the packs that had objects."""
        for asked in self._packs:
            if asked.oids:
                path = asked.pack.path
                yield Use(os.path.basename(path)[:-5], path, tuple(asked.oids), wanted_part(asked.pack, asked.oids))


def wanted_part(pack: Pack, wanted: Container[bytes]) -> float:
    """Return what part of a pack's bytes the entries of some objects are, 0 to 1."""
    entries = pack.index.entries()
    size = len(pack.data())
    stops = [offset for offset, _, _ in entries[1:]] + [size - 20]
    return sum(stop - start for (start, oid, _), stop in zip(entries, stops, strict=True) if oid in wanted) / size

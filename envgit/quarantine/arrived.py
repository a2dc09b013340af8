"""Everything that arrived, and behind it what the repository has: what the checks of environments read."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

from envgit.quarantine.errors import RefusedObjects
from envgit.quarantine.pack_scan import Found
from envgit.store.object_store import MissingObject, ObjectStore
from envgit.store.objects import hash_object
from envgit.store.pack_reader import Pack


class Known(NamedTuple):
    """What is known of an object without its bytes. `sha256`: of a blob's content, b"" when nobody read it yet."""

    type: str
    size: int
    sha256: bytes


class ArrivedObjects:
    """Reads objects by id: those that arrived from packs that were checked a moment ago; what nobody read yet, and
    what is in `ours`, verified."""

    def __init__(self, ours: ObjectStore) -> None:
        self.ours = ours
        self._found: dict[bytes, tuple[Known, Pack, int]] = {}
        self._looked_at: dict[bytes, Known] = {}
        self._have_packs = bool(ours.refresh()) or ours.statistics().loose_objects > 0

    def __len__(self) -> int:
        return len(self._found)

    def add_pack(self, path: str, found: Iterable[Found]) -> None:
        """Take in a checked pack (path without `.pack`). Raises RefusedObjects when an object is here already, with other bytes."""
        pack = Pack(path + ".idx")
        for oid, type, size, digest, offset, _ in found:
            if oid in self._found:
                continue
            self._found[oid] = (Known(type, size, digest), pack, offset)
            if self._have_packs and self.ours.contains(oid) and self.ours.read(oid) != self.read(oid):
                raise RefusedObjects(
                    f"object {oid.hex()} is here with other content: somebody made a collision of SHA-1",
                    hint="nothing was kept; do not fetch from there again",
                )

    def is_new(self, oid: bytes) -> bool:
        """Whether the object arrived (it may be here as well)."""
        return oid in self._found

    def read(self, oid: bytes) -> tuple[str, bytes]:
        """Return (type, content). Raises RefusedObjects when nobody has it."""
        place = self._found.get(oid)
        if place is not None:
            known, pack, offset = place
            type, data = pack.read(offset, self.read)
            if known.type == "blob" and not known.sha256 and hash_object(type, data) != oid:
                raise RefusedObjects(f"object {oid.hex()} has other content than its id says")
            return type, data
        try:
            return self.ours.read(oid)
        except MissingObject:
            raise RefusedObjects(
                f"what arrived is incomplete: object {oid.hex()} is missing",
                hint="nothing was kept; fetch again, and if that does not help, the other repository lacks it: envgit fsck there",
            ) from None

    def look_at(self, oid: bytes) -> Known:
        """Return what an object is; only one of ours has to be read for that."""
        place = self._found.get(oid)
        if place is not None:
            return place[0]
        known = self._looked_at.get(oid)
        if known is None:
            type, data = self.read(oid)
            known = self._looked_at[oid] = Known(type, len(data), sha256(data).digest())
        return known

"""What a push would send, and what the hosts of git repositories accept of it."""

from __future__ import annotations

import os
import zlib
from bisect import bisect_right
from collections.abc import Iterable
from heapq import heappush, heappushpop
from typing import NamedTuple

from envgit.store.object_store import ObjectStore
from envgit.store.pack_reader import TYPE_NAMES, Pack
from envgit.transfer.errors import TransferError
from envgit.transfer.missing import MissingWalk

OBJECT_LIMIT_BYTES = 100 << 20
PUSH_LIMIT_BYTES = 2 << 30
_LARGEST = 5
_OFS_DELTA = 6
_DELTA_HEAD_BYTES = 20
_LOOSE_HEAD_BYTES = 64


class PushTooLarge(TransferError):
    """One object is larger than what the host accepts: no splitting of the push helps."""

    code = "push-too-large"


class PushLimits(NamedTuple):
    """What a host accepts; 0 is no limit. The defaults are GitHub's, the strictest of the big ones."""

    object_bytes: int = OBJECT_LIMIT_BYTES
    push_bytes: int = PUSH_LIMIT_BYTES


class LargeObject(NamedTuple):
    """`path`: in the tree of a commit, empty for a commit or tag; `bytes`: of the content, which is what hosts count."""

    oid: bytes
    path: bytes
    bytes: int


class PushSize(NamedTuple):
    """`bytes`: as the objects lie in our packs; git sends them so, or smaller where it finds a delta. `largest`: biggest first."""

    objects: int
    bytes: int
    largest: tuple[LargeObject, ...]


def measure_push(objects: ObjectStore, tips: Iterable[bytes], haves: Iterable[bytes]) -> PushSize:
    """Say what a repository that has `haves` lacks of `tips`; history that it has is not walked. Raises CorruptObject."""
    sizes = StoredSizes(objects)
    count = total = 0
    largest: list[tuple[int, bytes, bytes]] = []
    for oid, path in MissingWalk(objects, tips, haves).iter_all():
        stored, content = sizes.find(oid)
        count += 1
        total += stored
        if len(largest) < _LARGEST:
            heappush(largest, (content, oid, path))
        elif content > largest[0][0]:
            heappushpop(largest, (content, oid, path))
    found = tuple(LargeObject(oid, path, content) for content, oid, path in sorted(largest, reverse=True))
    return PushSize(count, total, found)


def check_object(largest: LargeObject, limits: PushLimits) -> None:
    """Raise PushTooLarge when an object is over the limit of one object."""
    if limits.object_bytes and largest.bytes > limits.object_bytes:
        where = largest.path.decode("utf-8", "backslashreplace") or largest.oid.hex()
        raise PushTooLarge(
            f"{where} is one object of {largest.bytes >> 20} MiB; hosts refuse more than {limits.object_bytes >> 20} MiB",
            hint="if this host takes larger ones: envgit config envgit.pushObjectLimit 0",
        )


class StoredSizes:
    """Looks up how large objects are. Reads indexes and entry headers, inflates nothing but the heads of deltas."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._stops: dict[str, list[int]] = {}

    def find(self, oid: bytes) -> tuple[int, int]:
        """Return (bytes in the pack, bytes of the content). Raises CorruptObject."""
        for pack in self._objects.packs():
            offset = pack.index.find(oid)
            if offset is None:
                continue
            stops = self._stops.get(pack.path)
            if stops is None:
                stops = [entry[0] for entry in pack.index.entries()]
                stops.append(len(pack.data()) - 20)
                self._stops[pack.path] = stops
            stored = stops[bisect_right(stops, offset)] - offset
            return stored, _content_bytes(pack, offset, stored)
        return self._find_loose(oid)

    def _find_loose(self, oid: bytes) -> tuple[int, int]:
        name = oid.hex()
        try:
            with open(f"{self._objects.objects_dir}/{name[:2]}/{name[2:]}", "rb") as file:
                stored = os.fstat(file.fileno()).st_size
                head = zlib.decompressobj().decompress(file.read(_LOOSE_HEAD_BYTES), _LOOSE_HEAD_BYTES)
            return stored, int(head.partition(b"\0")[0].split(b" ")[1])
        except (FileNotFoundError, zlib.error, IndexError, ValueError):
            content = len(self._objects.read(oid)[1])  # says what is wrong, or knows more places
            return content, content


def _content_bytes(pack: Pack, offset: int, stored: int) -> int:
    type_number, size, start = pack.header(offset)
    if type_number in TYPE_NAMES:
        return size
    data = pack.data()
    if type_number == _OFS_DELTA:
        while data[start] & 0x80:
            start += 1
        start += 1
    else:
        start += 20
    try:
        head = zlib.decompressobj().decompress(data[start : offset + min(stored, 4096)], _DELTA_HEAD_BYTES)
        position = 0
        while head[position] & 0x80:
            position += 1
        position += 1
        result = shift = 0
        while True:
            byte = head[position]
            position += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result
    except (IndexError, zlib.error):
        return size  # whoever reads the object finds out what is wrong with it

"""Pack indexes, version 2 (gitformat-pack(5)): written once, read through mmap."""

from __future__ import annotations

import os
from array import array
from hashlib import sha1
from itertools import accumulate
from mmap import ACCESS_READ, mmap
from struct import Struct, unpack, unpack_from
from sys import byteorder

from envgit.errors import CorruptObject

_MAGIC = b"\377tOc\0\0\0\2"
_OIDS_START = 8 + 1024
_LARGE = 1 << 31
_FANOUT = Struct(">256I")
_U32 = Struct(">I")
_U64 = Struct(">Q")


def _column(records: bytes, start: int, width: int) -> bytearray:
    """Gather one field of all 32-byte records, a byte column at a time: no object per record."""
    column = bytearray(len(records) // 32 * width)
    for place in range(width):
        column[place::width] = records[start + place :: 32]
    return column


def format_index(records: bytes, pack_digest: bytes) -> bytes:
    """Return the index of a pack from its sorted 32-byte records (oid, CRC-32, offset) and its trailer."""
    fanout = [0] * 256
    for first in records[::32]:
        fanout[first] += 1
    offsets, large = array("I"), array("Q")
    wide = array("Q", bytes(_column(records, 24, 8)))
    if byteorder == "little":
        wide.byteswap()
    for offset in wide:
        if offset >= _LARGE:
            offsets.append(_LARGE | len(large))
            large.append(offset)
        else:
            offsets.append(offset)
    if byteorder == "little":
        offsets.byteswap()
        large.byteswap()
    table = _FANOUT.pack(*accumulate(fanout))
    columns = _column(records, 0, 20), _column(records, 20, 4), offsets.tobytes(), large.tobytes()
    index = b"".join((_MAGIC, table, *columns, pack_digest))
    return index + sha1(index, usedforsecurity=False).digest()


class PackIndex:
    """The sorted ids of one pack and where its entries are. Raises CorruptObject when the file cannot be one."""

    __slots__ = ("_data", "_fanout", "_offsets_start", "count", "path")

    def __init__(self, path: str) -> None:
        """Map the index; raises FileNotFoundError when a concurrent gc removed it."""
        self.path = path
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            if size < _OIDS_START + 40:
                raise CorruptObject(f"pack index {path} is truncated")
            self._data = mmap(fd, size, access=ACCESS_READ)
        finally:
            os.close(fd)
        if self._data[:8] != _MAGIC:
            raise CorruptObject(f"pack index {path} is not of version 2")
        self._fanout = _FANOUT.unpack_from(self._data, 8)
        self.count: int = self._fanout[255]
        self._offsets_start = _OIDS_START + 24 * self.count
        least = _OIDS_START + 28 * self.count + 40
        if not least <= size <= least + 8 * self.count:
            raise CorruptObject(f"pack index {path} does not have the size of its {self.count} objects")

    def _position(self, oid: bytes) -> int:
        """Where `oid` is, or would be inserted."""
        first = oid[0]
        low = self._fanout[first - 1] if first else 0
        high = self._fanout[first]
        data = self._data
        while low < high:
            middle = (low + high) >> 1
            start = _OIDS_START + 20 * middle
            if data[start : start + 20] < oid:
                low = middle + 1
            else:
                high = middle
        return low

    def find(self, oid: bytes) -> int | None:
        """Return the offset of an object's entry in the pack, or None."""
        first = oid[0]
        if self._fanout[first] == (self._fanout[first - 1] if first else 0):
            return None
        position = self._position(oid)
        start = _OIDS_START + 20 * position
        if position >= self.count or self._data[start : start + 20] != oid:
            return None
        return self._offset(position)

    def _offset(self, position: int) -> int:
        offset: int = _U32.unpack_from(self._data, self._offsets_start + 4 * position)[0]
        if offset & _LARGE:
            start = self._offsets_start + 4 * self.count + 8 * (offset ^ _LARGE)
            if start + 8 > len(self._data) - 40:
                raise CorruptObject(f"pack index {self.path} has an offset outside its table")
            offset = _U64.unpack_from(self._data, start)[0]
        return offset

    def iter_prefix(self, prefix: str) -> list[bytes]:
        """Return the ids that start with hex digits."""
        if not self.count:
            return []
        low = bytes.fromhex(prefix.ljust(40, "0"))
        found: list[bytes] = []
        for position in range(self._position(low), self.count):
            oid = self._data[_OIDS_START + 20 * position : _OIDS_START + 20 * position + 20]
            if not oid.hex().startswith(prefix):
                break
            found.append(oid)
        return found

    def entries(self) -> list[tuple[int, bytes, int]]:
        """Return (offset, oid, CRC-32) of every object, in the order of the pack."""
        count, data = self.count, self._data
        crcs = unpack_from(f">{count}I", data, _OIDS_START + 20 * count)
        oids = data[_OIDS_START : _OIDS_START + 20 * count]
        return sorted(
            [(self._offset(i), oids[20 * i : 20 * i + 20], crcs[i]) for i in range(count)],
        )

    def pack_digest(self) -> bytes:
        """Return the trailer of the pack that this index belongs to."""
        return self._data[-40:-20]

    def verify(self) -> None:
        """Check the index against its own SHA-1 and its order; raises CorruptObject."""
        data = self._data
        if sha1(memoryview(data)[:-20], usedforsecurity=False).digest() != data[-20:]:
            raise CorruptObject(f"pack index {self.path} does not match its checksum")
        if list(unpack(">256I", data[8:_OIDS_START])) != sorted(self._fanout):
            raise CorruptObject(f"pack index {self.path} has a fan-out table that decreases")

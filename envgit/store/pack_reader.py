"""Read entries of one pack through mmap: whole ones in one step, deltas through their chain."""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING

from envgit.errors import CorruptObject
from envgit.store.deflate import decompress
from envgit.store.delta import apply_delta
from envgit.store.pack_index import PackIndex

if TYPE_CHECKING:
    from collections.abc import Callable

TYPE_NAMES = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_OFS_DELTA, _REF_DELTA = 6, 7
_MAX_CHAIN = 4096
_BASE_CACHE_BYTES = 24 * 1024 * 1024


class Pack:
    """One pack with its index. Raises CorruptObject for bytes that cannot be right; ids are checked by the caller."""

    def __init__(self, index_path: str) -> None:
        """Map the index; the pack itself is mapped by the first read. Raises FileNotFoundError."""
        self.index = PackIndex(index_path)
        self.path = index_path[:-4] + ".pack"
        self._map: mmap | None = None
        self._bases: dict[int, tuple[int, bytes]] = {}
        self._base_bytes = 0

    def _open(self) -> mmap:
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            if size < 32:
                raise CorruptObject(f"pack {self.path} is truncated")
            data = mmap(fd, size, access=ACCESS_READ)
        finally:
            os.close(fd)
        if data[:4] != b"PACK" or data[-20:] != self.index.pack_digest():
            raise CorruptObject(f"pack {self.path} does not belong to its index")
        self._map = data
        return data

    def open(self) -> None:
        """Map the pack now, so that it stays readable when a concurrent gc removes it. Raises FileNotFoundError."""
        if self._map is None:
            self._open()

    def data(self) -> mmap:
        """Return the mapped pack file."""
        return self._map if self._map is not None else self._open()

    def header(self, offset: int) -> tuple[int, int, int]:
        """Return (type number, size, offset of what follows) of the entry at `offset`."""
        data = self.data()
        try:
            byte = data[offset]
            start = offset + 1
            type_number, size, shift = byte >> 4 & 7, byte & 15, 4
            while byte & 0x80:
                byte = data[start]
                start += 1
                size |= (byte & 0x7F) << shift
                shift += 7
        except IndexError:
            raise CorruptObject(f"pack {self.path} ends inside an entry") from None
        return type_number, size, start

    def _inflate(self, start: int, size: int) -> bytes:
        data = self.data()
        # Bound of a stream that was stored: beyond it another entry begins. Unusual writers get the rest of the pack.
        stop = min(len(data) - 20, start + size + (size >> 10) + 128)
        with memoryview(data) as view, view[start:stop] as piece:
            try:
                return decompress(piece, size)
            except ValueError as error:
                if stop == len(data) - 20:
                    raise CorruptObject(f"pack {self.path} is damaged at offset {start}: {error}") from None
        with memoryview(data) as view, view[start : len(data) - 20] as piece:
            try:
                return decompress(piece, size)
            except ValueError as error:
                raise CorruptObject(f"pack {self.path} is damaged at offset {start}: {error}") from None

    def read(self, offset: int, read_base: Callable[[bytes], tuple[str, bytes]]) -> tuple[str, bytes]:
        """Return (type, content) of the entry at `offset`; `read_base` finds the base of a REF_DELTA elsewhere."""
        type_number, size, start = self.header(offset)
        name = TYPE_NAMES.get(type_number)
        if name is not None:
            return name, self._inflate(start, size)
        return self._read_delta(offset, read_base)

    def _read_delta(self, offset: int, read_base: Callable[[bytes], tuple[str, bytes]]) -> tuple[str, bytes]:
        """Walk down to a whole or cached entry, then apply the deltas upwards."""
        chain: list[tuple[int, bytes]] = []
        while True:
            cached = self._bases.get(offset)
            if cached is not None:
                type_number, content = cached
                break
            type_number, size, start = self.header(offset)
            if type_number in TYPE_NAMES:
                content = self._inflate(start, size)
                self._remember(offset, type_number, content)
                break
            if type_number not in (_OFS_DELTA, _REF_DELTA):
                raise CorruptObject(f"pack {self.path} has an entry of unknown type {type_number}")
            if len(chain) >= _MAX_CHAIN:
                raise CorruptObject(f"pack {self.path} has a delta chain without end")
            if type_number == _OFS_DELTA:
                base, start = self._base_offset(offset, start)
                chain.append((offset, self._inflate(start, size)))
                offset = base
                continue
            base_oid = self.data()[start : start + 20]
            chain.append((offset, self._inflate(start + 20, size)))
            found = self.index.find(base_oid)
            if found is not None:
                offset = found
                continue
            name, content = read_base(base_oid)
            type_number = next(number for number, known in TYPE_NAMES.items() if known == name)
            break
        for offset, delta in reversed(chain):
            try:
                content = apply_delta(content, delta)
            except ValueError as error:
                raise CorruptObject(f"pack {self.path} is damaged at offset {offset}: {error}") from None
            self._remember(offset, type_number, content)
        return TYPE_NAMES[type_number], content

    def delta_base(self, offset: int) -> tuple[int | bytes, int] | None:
        """Return (offset in this pack or id of the base, offset of the deflated delta) of a delta entry; None for a whole one."""
        type_number, _, start = self.header(offset)
        if type_number == _OFS_DELTA:
            return self._base_offset(offset, start)
        if type_number == _REF_DELTA:
            return self.data()[start : start + 20], start + 20
        return None

    def _base_offset(self, offset: int, start: int) -> tuple[int, int]:
        data = self.data()
        byte = data[start]
        start += 1
        distance = byte & 0x7F
        while byte & 0x80:
            byte = data[start]
            start += 1
            distance = (distance + 1) << 7 | byte & 0x7F
        if not 0 < distance <= offset - 12:
            raise CorruptObject(f"pack {self.path} has a delta whose base lies outside it")
        return offset - distance, start

    def _remember(self, offset: int, type_number: int, content: bytes) -> None:
        if len(content) > _BASE_CACHE_BYTES // 8:
            return
        if self._base_bytes + len(content) > _BASE_CACHE_BYTES:
            self._bases.clear()
            self._base_bytes = 0
        self._bases[offset] = (type_number, content)
        self._base_bytes += len(content)

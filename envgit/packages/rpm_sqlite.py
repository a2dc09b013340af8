"""The rows of one table of an SQLite 3 file (https://www.sqlite.org/fileformat2.html), read without SQLite.

An environment's file is not given to a library that is made for files one trusts; and rpm's databases are in WAL mode, of
which SQLite needs the second file on a disk and in its place. A reader of table b-trees is all that this takes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from envgit.packages.package import MalformedRecord

MAGIC = b"SQLite format 3\0"
_WAL_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
_WAL_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_INTERIOR, _LEAF = 5, 13
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_DEEPEST = 32

Column = bytes | int | None


class SqliteFile:
    """A database given as the bytes of its file and of its write-ahead log. Raises MalformedRecord for what is none."""

    def __init__(self, data: bytes, log: bytes = b"") -> None:
        if not data.startswith(MAGIC) or len(data) < 100:
            raise MalformedRecord("it is not an SQLite database")
        size = int.from_bytes(data[16:18], "big")
        self._page_bytes = 65536 if size == 1 else size
        if self._page_bytes < 512 or self._page_bytes & (self._page_bytes - 1):
            raise MalformedRecord(f"its pages have {size} bytes")
        self._data = memoryview(data)
        self._log = _read_log(log, self._page_bytes) if log else {}
        first = self._page(1)
        self._usable = self._page_bytes - first[20]
        if self._usable < 480 or int.from_bytes(first[56:60], "big") not in (0, 1):
            raise MalformedRecord("it is not a database of rpm's")

    def iter_rows(self, table: bytes) -> Iterator[list[Column]]:
        """Yield the columns of each row: text and blobs as bytes, integers, None (also for real numbers, which rpm has not)."""
        for row in self._walk(1):
            if len(row) >= 4 and row[0] == b"table" and row[1] == table and isinstance(row[3], int):
                yield from self._walk(row[3])
                return
        raise MalformedRecord(f"it has no table {table.decode()}")

    def _page(self, number: int) -> memoryview:
        logged = self._log.get(number)
        if logged is not None:
            return logged
        page = self._data[(number - 1) * self._page_bytes : number * self._page_bytes]
        if number < 1 or len(page) < self._page_bytes:
            raise MalformedRecord(f"it has no page {number}")
        return page

    def _walk(self, root: int) -> Iterator[list[Column]]:
        seen: set[int] = set()
        pending = [(root, 0)]
        while pending:
            number, depth = pending.pop()
            if number in seen or depth > _DEEPEST:
                raise MalformedRecord("its tree of pages is none")
            seen.add(number)
            page = self._page(number)
            at = 100 if number == 1 else 0
            kind, count = page[at], int.from_bytes(page[at + 3 : at + 5], "big")
            if kind not in (_INTERIOR, _LEAF):
                raise MalformedRecord(f"page {number} belongs to no table")
            pointers = at + (12 if kind == _INTERIOR else 8)
            if pointers + 2 * count > self._usable:
                raise MalformedRecord(f"page {number} has {count} cells")
            cells = struct.unpack_from(f">{count}H", page, pointers)
            if kind == _LEAF:
                for cell in cells:
                    yield _columns(self._payload(page, cell))
                continue
            children = [int.from_bytes(page[cell : cell + 4], "big") for cell in cells]
            children.append(int.from_bytes(page[at + 8 : at + 12], "big"))
            pending += [(child, depth + 1) for child in reversed(children)]

    def _payload(self, page: memoryview, at: int) -> bytes:
        size, at = _varint(page, at)
        _, at = _varint(page, at)
        if size > len(self._data) + self._page_bytes * len(self._log):
            raise MalformedRecord("a row is larger than the database")
        usable = self._usable
        if size <= usable - 35:
            local = size
        else:
            least = (usable - 12) * 32 // 255 - 23
            local = least + (size - least) % (usable - 4)
            local = local if local <= usable - 35 else least
        pieces = [page[at : at + local]]
        if len(pieces[0]) != local:
            raise MalformedRecord("a row lies outside of its page")
        left = size - local
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        while left:
            overflow = self._page(following)
            pieces.append(overflow[4 : 4 + min(left, usable - 4)])
            left -= len(pieces[-1])
            following = int.from_bytes(overflow[:4], "big")
        return b"".join(pieces)


def _varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    value = 0
    for count in range(9):
        if at >= len(data):
            raise MalformedRecord("a number goes past its page")
        byte = data[at]
        at += 1
        if count == 8:
            return value << 8 | byte, at
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return value, at


def _columns(payload: bytes) -> list[Column]:
    header_bytes, at = _varint(payload, 0)
    body = header_bytes
    columns: list[Column] = []
    while at < header_bytes:
        kind, at = _varint(payload, at)
        size = _SIZES[kind] if kind < len(_SIZES) else (kind - 12) // 2
        if kind in (10, 11) or body + size > len(payload):
            raise MalformedRecord("a row is shorter than its columns")
        value = payload[body : body + size]
        body += size
        if kind >= 12:
            columns.append(value)
        elif kind in (8, 9):
            columns.append(kind - 8)
        else:
            columns.append(None if kind in (0, 7) else int.from_bytes(value, "big", signed=True))
    return columns


def _read_log(log: bytes, page_bytes: int) -> dict[int, memoryview]:
    """Return the newest committed content of each page in a write-ahead log: frames whose salts and running checksum hold."""
    if len(log) < _WAL_HEADER_BYTES:
        return {}
    magic, version, size, _, salt1, salt2, sum1, sum2 = struct.unpack_from(">8I", log)
    order = _WAL_MAGICS.get(magic)
    if order is None or version != 3007000 or size != page_bytes:
        return {}
    state = _checksum(order, memoryview(log)[:24], (0, 0))
    if state != (sum1, sum2):
        return {}
    committed: dict[int, memoryview] = {}
    pending: dict[int, memoryview] = {}
    view = memoryview(log)
    for at in range(
        _WAL_HEADER_BYTES, len(log) - _FRAME_HEADER_BYTES - page_bytes + 1, _FRAME_HEADER_BYTES + page_bytes
    ):
        number, pages_after_commit, first, second, sum1, sum2 = struct.unpack_from(">6I", log, at)
        page = view[at + _FRAME_HEADER_BYTES : at + _FRAME_HEADER_BYTES + page_bytes]
        state = _checksum(order, page, _checksum(order, view[at : at + 8], state))
        if (first, second) != (salt1, salt2) or state != (sum1, sum2):
            break
        pending[number] = page
        if pages_after_commit:
            committed.update(pending)
            pending.clear()
    return committed


def _checksum(order: str, data: memoryview, state: tuple[int, int]) -> tuple[int, int]:
    first, second = state
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second

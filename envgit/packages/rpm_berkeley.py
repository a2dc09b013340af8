"""The values of a Berkeley DB hash file, `Packages` of rpm before 4.16 (db's src/dbinc/db_page.h)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from envgit.packages.package import MalformedRecord

_HASH_MAGIC = 0x061561
_HASH_META, _HASH_UNSORTED, _HASH, _OVERFLOW = 8, 2, 13, 7
_KEY_DATA, _OFF_PAGE = 1, 3
_PAGE_HEADER_BYTES = 26
_INSTANCE_BYTES = 4


def byte_order(data: bytes) -> str | None:
    """Return how a hash file's numbers are written, "<" or ">"; None when it is no hash file."""
    for order in "<>":
        if len(data) >= 512 and struct.unpack_from(f"{order}I", data, 12)[0] == _HASH_MAGIC:
            return order
    return None


def iter_headers(data: bytes) -> Iterator[bytes]:
    """Yield the header blobs: every value but the one that counts them; raises MalformedRecord for a damaged file."""
    order = byte_order(data)
    if order is None:
        raise MalformedRecord("it is not a Berkeley DB hash file")
    (page_bytes,) = struct.unpack_from(f"{order}I", data, 20)
    if data[24] or data[25] != _HASH_META or not 512 <= page_bytes <= 65536 or page_bytes & (page_bytes - 1):
        raise MalformedRecord("it is encrypted, or of another kind")
    (last,) = struct.unpack_from(f"{order}I", data, 32)
    pages = memoryview(data)
    for number in range(1, min(last + 1, len(data) // page_bytes)):
        page = pages[number * page_bytes : (number + 1) * page_bytes]
        if page[25] in (_HASH, _HASH_UNSORTED):
            yield from _values(page, pages, page_bytes, order)


def _values(page: memoryview, pages: memoryview, page_bytes: int, order: str) -> Iterator[bytes]:
    """Yield the values of one bucket page: its items are keys and values in turn, from the end of the page downwards."""
    (count,) = struct.unpack_from(f"{order}H", page, 20)
    if _PAGE_HEADER_BYTES + 2 * count > page_bytes:
        raise MalformedRecord(f"a page has {count} items")
    offsets = struct.unpack_from(f"{order}{count}H", page, _PAGE_HEADER_BYTES)
    for key_at, at in zip(offsets[::2], offsets[1::2], strict=False):
        if not _PAGE_HEADER_BYTES <= at < key_at <= page_bytes:
            raise MalformedRecord("an item lies outside of its page")
        if page[at] == _OFF_PAGE and at + 12 <= page_bytes:
            first, size = struct.unpack_from(f"{order}II", page, at + 4)
            yield _overflow(first, size, pages, page_bytes, order)
        elif page[at] == _KEY_DATA and key_at - at - 1 > _INSTANCE_BYTES:
            yield bytes(page[at + 1 : key_at])


def _overflow(number: int, size: int, pages: memoryview, page_bytes: int, order: str) -> bytes:
    if size > len(pages):
        raise MalformedRecord("a header is larger than the file")
    pieces: list[memoryview] = []
    left = size
    while left > 0:
        page = pages[number * page_bytes : (number + 1) * page_bytes]
        if not number or len(page) < page_bytes or page[25] != _OVERFLOW:
            raise MalformedRecord("a header goes on where nothing is")
        (following,) = struct.unpack_from(f"{order}I", page, 16)
        (held,) = struct.unpack_from(f"{order}H", page, 22)
        if not 0 < held <= min(left, page_bytes - _PAGE_HEADER_BYTES):
            raise MalformedRecord("a header has another size than it says")
        pieces.append(page[_PAGE_HEADER_BYTES : _PAGE_HEADER_BYTES + held])
        left -= held
        number = following
    return b"".join(pieces)

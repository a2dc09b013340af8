"""rpm's own database format, Packages.db (SUSE): slots that say where each header is (rpm's lib/backend/ndb/rpmpkg.c)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from envgit.packages.package import MalformedRecord

MAGIC = b"RpmP"
_PAGE_BYTES, _BLOCK_BYTES = 4096, 16
_SLOT = struct.Struct("<4sIII")
_BLOB_HEAD = struct.Struct("<4sIII")
_HEADER_BYTES = 32


def iter_headers(data: bytes) -> Iterator[bytes]:
    """Yield the header blobs; raises MalformedRecord when a slot points at none."""
    if not data.startswith(MAGIC) or len(data) < _PAGE_BYTES:
        raise MalformedRecord("it is not an ndb database")
    version, _, slot_pages = struct.unpack_from("<III", data, 4)
    if version != 0 or not 0 < slot_pages <= len(data) // _PAGE_BYTES:
        raise MalformedRecord(f"it is of version {version} with {slot_pages} pages of slots")
    for at in range(_HEADER_BYTES, slot_pages * _PAGE_BYTES, _SLOT.size):
        magic, index, block, blocks = _SLOT.unpack_from(data, at)
        if magic != b"Slot":
            raise MalformedRecord("a slot is none")
        if not block:
            continue
        start = block * _BLOCK_BYTES
        if start + max(blocks * _BLOCK_BYTES, _BLOB_HEAD.size) > len(data):
            raise MalformedRecord("a slot points past the end")
        magic, owner, _, size = _BLOB_HEAD.unpack_from(data, start)
        if magic != b"BlbS" or owner != index or _BLOB_HEAD.size + size > blocks * _BLOCK_BYTES:
            raise MalformedRecord("a slot points at no header")
        yield data[start + _BLOB_HEAD.size : start + _BLOB_HEAD.size + size]

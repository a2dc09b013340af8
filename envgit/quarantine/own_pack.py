"""Look through a pack that another repository of this user lent, without reading what is in its files.

Commits, trees and tags are read as strictly as ever. Of a blob only the entry is: its checksum, its type and its size. Whoever
reads it later hashes it, here and wherever the pack goes.
"""

from __future__ import annotations

from collections.abc import Callable

from envgit.errors import CorruptObject
from envgit.quarantine.errors import RefusedObjects
from envgit.quarantine.pack_scan import (
    HEADER_BYTES,
    LEAST_ENTRY_BYTES,
    MAX_OBJECT_BYTES,
    TRAILER_BYTES,
    Found,
    identify,
)
from envgit.store.deflate import MAX_RATIO, crc32
from envgit.store.pack_reader import TYPE_NAMES, Pack

_VERSION = b"\0\0\0\2"
_SLACK_BYTES = 64
_ADVANCE_OBJECTS = 512


def survey_pack(path: str, advance: Callable[[int], None]) -> list[Found] | None:
    """Return the objects of a pack (path without `.pack`) by the index that came along, which is kept; blobs with SHA-256 b"".

    None where that does not do: no index, one that does not fit, deltas, anything odd. Such a pack is to be read as a whole, which
    also finds the right message. `advance` counts objects.
    """
    try:
        return _survey(path, advance)
    except (OSError, CorruptObject, RefusedObjects, ValueError):
        return None


def _survey(path: str, advance: Callable[[int], None]) -> list[Found] | None:
    pack = Pack(path + ".idx")
    pack.index.verify()
    mapped = pack.data()
    entries = pack.index.entries()
    end = len(mapped) - TRAILER_BYTES
    if mapped[4:8] != _VERSION:
        return None
    if int.from_bytes(mapped[8:HEADER_BYTES], "big") != len(entries) or len({oid for _, oid, _ in entries}) != len(
        entries
    ):
        return None
    found: list[Found] = []
    expected = HEADER_BYTES
    with memoryview(mapped) as view:
        for (offset, oid, check), stop in zip(entries, [*(entry[0] for entry in entries[1:]), end], strict=True):
            number, size, start = pack.header(offset)
            type = TYPE_NAMES.get(number)
            stored = stop - start
            if type is None or offset != expected or stop - offset < LEAST_ENTRY_BYTES or stop > end:
                return None
            if size > MAX_OBJECT_BYTES or size > MAX_RATIO * stored + _SLACK_BYTES or crc32(view[offset:stop]) != check:
                return None
            if type != "blob" and identify(type, pack.read(offset, _no_base)[1])[0] != oid:
                return None
            found.append((oid, type, size, b"", offset, check))
            expected = stop
            if not len(found) % _ADVANCE_OBJECTS:
                advance(_ADVANCE_OBJECTS)
    if expected != end:
        return None
    advance(len(found) % _ADVANCE_OBJECTS)
    return found


def _no_base(oid: bytes) -> tuple[str, bytes]:
    raise CorruptObject(f"the base {oid.hex()} of a delta is elsewhere")

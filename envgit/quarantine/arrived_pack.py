"""Check one pack as a whole and write the index that we believe, because we made it."""

from __future__ import annotations

import marshal
import os
from collections.abc import Callable
from hashlib import sha1
from mmap import ACCESS_READ, mmap

from envgit.errors import CorruptObject
from envgit.exec.limited import ChildDied, LimitedChild, Send
from envgit.quarantine.deltas import check_chains, resolve_deltas
from envgit.quarantine.errors import RefusedObjects
from envgit.quarantine.pack_scan import (
    HEADER_BYTES,
    LEAST_ENTRY_BYTES,
    TRAILER_BYTES,
    Found,
    Scan,
    entry_body,
    scan_entries,
)
from envgit.store import storage
from envgit.store.pack_index import PackIndex, format_index
from envgit.store.pack_writer import RECORD

_SPLIT_ABOVE_BYTES = 4 << 20
"""Below, a second process costs more than it saves."""
_HASH_BYTES = 1 << 20


def check_pack(path: str, advance: Callable[[int], None], send: Send) -> list[Found]:
    """Read a pack (path without `.pack`) strictly, replace its index, and return its objects. Raises RefusedObjects, StorageError.

    `advance` counts objects; `send` is what a second process may report through.
    """
    try:
        fd = os.open(path + ".pack", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            if size < HEADER_BYTES + TRAILER_BYTES:
                raise RefusedObjects(f"the pack is cut off: it has {size} bytes")
            mapped = mmap(fd, size, access=ACCESS_READ)
        finally:
            os.close(fd)
    except OSError as error:
        storage.fail("read", path + ".pack", error)
    count = _read_count(mapped, size)
    with memoryview(mapped) as whole, whole[: size - TRAILER_BYTES] as data:
        trailer = bytes(whole[size - TRAILER_BYTES :])
        scan = _scan(path, data, count, advance, send)
        if scan.end != len(data):
            raise RefusedObjects(f"the pack has {len(data) - scan.end} bytes after its last object")
        digest = sha1(usedforsecurity=False)
        for start in range(0, len(data), _HASH_BYTES):
            digest.update(data[start : start + _HASH_BYTES])
        if digest.digest() != trailer:
            raise RefusedObjects("the pack's checksum does not match its content")
        if scan.deltas:
            resolve_deltas(data, scan.found, scan.deltas, advance, lambda offset: entry_body(data, offset))
            check_chains(scan.found, scan.deltas)
    _write_index(path, scan.found, trailer)
    return scan.found


def _read_count(mapped: mmap, size: int) -> int:
    if mapped[:4] != b"PACK":
        raise RefusedObjects("what arrived is not a pack")
    version = int.from_bytes(mapped[4:8], "big")
    if version not in (2, 3):
        raise RefusedObjects(f"the pack has version {version}; git knows 2 and 3")
    count = int.from_bytes(mapped[8:HEADER_BYTES], "big")
    if count * LEAST_ENTRY_BYTES > size - HEADER_BYTES - TRAILER_BYTES:
        raise RefusedObjects(f"the pack is cut off: it cannot hold the {count} objects that its header claims")
    return count


def _scan(path: str, data: memoryview, count: int, advance: Callable[[int], None], send: Send) -> Scan:
    """Scan with two processes where somebody's index says where an entry begins in the middle.

    That need not be believed: when the first half ends exactly there, and both together have `count` objects, it is as if one
    had read on. In every other case one process reads everything, which also finds the one right message.
    """
    middle = _hint(path, len(data), count) if len(data) > _SPLIT_ABOVE_BYTES else None
    if middle is not None:
        second = LimitedChild(
            lambda _: marshal.dumps(tuple(scan_entries(data, middle, len(data), None, _sender(send))))
        )
        try:
            first = scan_entries(data, HEADER_BYTES, middle, None, advance)
            found, deltas, end = marshal.loads(second.finish(lambda _: None))
            if first.end == middle and len(first.found) + len(first.deltas) + len(found) + len(deltas) == count:
                return Scan(first.found + found, first.deltas + deltas, end)
        except (RefusedObjects, ChildDied):
            pass
        finally:
            second.kill()
    return scan_entries(data, HEADER_BYTES, len(data), count, advance)


def _sender(send: Send) -> Callable[[int], None]:
    return lambda amount: send(b"%d" % amount)


def _hint(path: str, size: int, count: int) -> int | None:
    """Return where an index claims that an entry begins in the middle."""
    try:
        index = PackIndex(path + ".idx")
        if index.count != count:
            return None
        offsets = [offset for offset, _, _ in index.entries()]
    except (OSError, CorruptObject, ValueError):
        return None
    later = [offset for offset in offsets if size // 2 <= offset < size]
    return later[0] if later and later[0] > HEADER_BYTES else None


def _write_index(path: str, found: list[Found], trailer: bytes) -> None:
    records = sorted([RECORD.pack(oid, check, offset) for oid, _, _, _, offset, check in found])
    previous = b""
    for record in records:
        if record[:20] == previous:
            raise RefusedObjects(f"the pack has object {previous.hex()} twice")
        previous = record[:20]
    storage.write_file(
        path + ".idx", format_index(b"".join(records), trailer), step="quarantine-index", durable=False, mode=0o444
    )

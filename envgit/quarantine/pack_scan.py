"""Read a pack from its first byte to its last, believing nothing: neither its index nor what entries claim.

Every entry is inflated with its claimed size enforced, and must end exactly where the next begins. Whole objects are hashed and
checked at once; deltas are only noted, as their bases may come later.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1, sha256
from typing import NamedTuple

from envgit.quarantine.errors import RefusedObjects
from envgit.quarantine.git_rules import check_git_rules
from envgit.store.deflate import crc32, decompress_exact

MAX_OBJECT_BYTES = 256 << 20
"""The largest file of an environment has 8 MiB; the metadata of a directory with a million files some 130."""
LEAST_ENTRY_BYTES = 9
"""A byte of type and size, and the shortest zlib stream."""
HEADER_BYTES = 12
TRAILER_BYTES = 20
_MAX_SIZE_BYTES = 10
_TYPES = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_OFS_DELTA, _REF_DELTA = 6, 7
_ADVANCE_OBJECTS = 512

Found = tuple[bytes, str, int, bytes, int, int]
"""(oid, type, size, SHA-256 of a blob's content or b"", offset, CRC-32 of the entry)."""

Delta = tuple[int, int, int, int, int | bytes]
"""(offset, CRC-32 of the entry, start of the stream, size of the delta, offset or id of the base)."""


class Scan(NamedTuple):
    """What a range of a pack holds, in its order. `end`: where the last entry ends."""

    found: list[Found]
    deltas: list[Delta]
    end: int


def identify(type: str, data: bytes) -> tuple[bytes, bytes]:
    """Return the id and (of a blob) the SHA-256 of an object that git accepts. Raises RefusedObjects."""
    digest = sha1(b"%b %d\0" % (type.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    oid = digest.digest()
    if type == "blob":
        return oid, sha256(data).digest()
    try:
        check_git_rules(type, data)
    except RefusedObjects as error:
        raise RefusedObjects(f"{type} {oid.hex()}: {error.message}") from None
    return oid, b""


def scan_entries(data: memoryview, start: int, stop: int, count: int | None, advance: Callable[[int], None]) -> Scan:
    """Read entries from `start` on: `count` of them, or (None) as many as there are before `stop`.

    `data` is the pack without its trailer. Raises RefusedObjects: also when an entry reaches beyond `stop`.
    """
    found: list[Found] = []
    deltas: list[Delta] = []
    position, done = start, 0
    while (position < stop) if count is None else (done < count):
        offset = position
        number, size, position = _read_header(data, position)
        base: int | bytes = b""
        if number == _OFS_DELTA:
            base, position = _read_base_offset(data, offset, position)
        elif number == _REF_DELTA:
            base = bytes(data[position : position + 20])
            position += 20
        elif number not in _TYPES:
            raise RefusedObjects(f"the pack has an entry of unknown type {number} at offset {offset}")
        body = position
        try:
            content, position = decompress_exact(data, position, stop, size)
        except ValueError as error:
            raise RefusedObjects(f"the pack is damaged at offset {offset}: {error}") from None
        check = crc32(data[offset:position])
        if base:
            deltas.append((offset, check, body, size, base))
        else:
            type = _TYPES[number]
            oid, digest = identify(type, content)
            found.append((oid, type, size, digest, offset, check))
        done += 1
        if not done % _ADVANCE_OBJECTS:
            advance(_ADVANCE_OBJECTS)
    advance(done % _ADVANCE_OBJECTS)
    return Scan(found, deltas, position)


def entry_body(data: memoryview, offset: int) -> int:
    """Return where the stream of a whole entry starts."""
    return _read_header(data, offset)[2]


def _read_header(data: memoryview, position: int) -> tuple[int, int, int]:
    """Return (type number, size, what follows)."""
    try:
        byte = data[position]
        start = position + 1
        number, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            if start - position >= _MAX_SIZE_BYTES:
                raise RefusedObjects(f"the pack has an entry of absurd size at offset {position}")
            byte = data[start]
            start += 1
            size |= (byte & 0x7F) << shift
            shift += 7
    except IndexError:
        raise RefusedObjects("the pack is cut off: it has fewer objects than its header says") from None
    if size > MAX_OBJECT_BYTES:
        raise RefusedObjects(
            f"the pack has an object of {size} bytes at offset {position}; no object of an environment has more than "
            f"{MAX_OBJECT_BYTES}"
        )
    return number, size, start


def _read_base_offset(data: memoryview, offset: int, position: int) -> tuple[int, int]:
    start = position
    try:
        byte = data[position]
        position += 1
        distance = byte & 0x7F
        while byte & 0x80 and position - start < _MAX_SIZE_BYTES:
            byte = data[position]
            position += 1
            distance = (distance + 1) << 7 | byte & 0x7F
    except IndexError:
        raise RefusedObjects("the pack is cut off inside an entry") from None
    if byte & 0x80 or not 0 < distance <= offset - HEADER_BYTES:
        raise RefusedObjects(f"the pack has a delta at offset {offset} whose base lies outside it")
    return offset - distance, position

"""The header of a package in an rpm database: an index of tags, then their data, big-endian (rpm's docs/manual/hregions.md)."""

from __future__ import annotations

import struct

from envgit.packages.package import MalformedRecord

NAME, VERSION, RELEASE, EPOCH, SUMMARY, ARCHITECTURE, SOURCE_RPM = 1000, 1001, 1002, 1003, 1004, 1022, 1044
_WANTED = frozenset((NAME, VERSION, RELEASE, EPOCH, SUMMARY, ARCHITECTURE, SOURCE_RPM))
_INT32, _STRING, _I18N_STRING = 4, 6, 9
_ENTRY = struct.Struct(">IIiI")
_ENTRIES_MAX = 0xFFFF


def read_header(blob: bytes) -> dict[int, bytes | int]:
    """Return the wanted tags: strings as bytes (of translated ones the first, which is English), numbers as int.

    Raises MalformedRecord when the index or a wanted value lies outside of the blob.
    """
    if len(blob) < 8:
        raise MalformedRecord("the header is too short")
    entries, data_bytes = struct.unpack_from(">II", blob)
    start = 8 + _ENTRY.size * entries
    if not 0 < entries <= _ENTRIES_MAX or start + data_bytes > len(blob):
        raise MalformedRecord("the header does not fit into its record")
    end = start + data_bytes
    values: dict[int, bytes | int] = {}
    for tag, kind, offset, _ in _ENTRY.iter_unpack(blob[8:start]):
        if tag not in _WANTED:
            continue
        if not 0 <= offset < data_bytes:
            raise MalformedRecord(f"tag {tag} lies outside of the header")
        at = start + offset
        if kind in (_STRING, _I18N_STRING):
            stop = blob.find(b"\0", at, end)
            if stop < 0:
                raise MalformedRecord(f"tag {tag} does not end")
            values.setdefault(tag, blob[at:stop])
        elif kind == _INT32 and at + 4 <= end:
            values.setdefault(tag, int.from_bytes(blob[at : at + 4], "big"))
    return values

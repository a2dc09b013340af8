"""The dynamic loader's cache, cut down to the libraries that came along."""

from __future__ import annotations

import struct
from collections.abc import Callable

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("<20sIIB3xI12x")
_ENTRY = struct.Struct("<iIIIQ")
_HWCAPS_EXTENSION = 1 << 62


def filter_ld_cache(data: bytes, keep: Callable[[bytes], bool]) -> bytes | None:
    """Return a cache with those entries of `data` whose path `keep` accepts, in their order; None if `data` is in
    another format (the loader then searches its standard folders, which is slower and works)."""
    if not data.startswith(_MAGIC) or len(data) < _HEADER.size:
        return None
    _, count, _, flags, _ = _HEADER.unpack_from(data)
    if _HEADER.size + count * _ENTRY.size > len(data):
        return None
    kept = []
    for i in range(count):
        kind, key, value, version, hwcap = _ENTRY.unpack_from(data, _HEADER.size + i * _ENTRY.size)
        path = _string(data, value)
        if not hwcap & _HWCAPS_EXTENSION and path and keep(path):
            kept.append((kind, _string(data, key), path, version, hwcap))
    strings = bytearray()
    entries = bytearray()
    start = _HEADER.size + len(kept) * _ENTRY.size
    for kind, name, path, version, hwcap in kept:
        key = start + len(strings)
        strings += name + b"\0"
        value = start + len(strings)
        strings += path + b"\0"
        entries += _ENTRY.pack(kind, key, value, version, hwcap)
    return _HEADER.pack(_MAGIC, len(kept), len(strings), flags, 0) + entries + strings


def _string(data: bytes, offset: int) -> bytes:
    end = data.find(b"\0", offset)
    return data[offset:end] if end >= 0 else b""

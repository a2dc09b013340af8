"""Give objects of one store to another on this machine: whole packs by name, the rest as one new pack.

A pack is shared (hard-linked; see sharing/linking.py) only if every object in it is wanted, so nothing gets across that was not
asked for. Of other packs the entries are copied as they are, deltas too where their base goes along.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import NamedTuple

from envgit.errors import CorruptObject
from envgit.monitor import Monitor
from envgit.sharing.linking import NotShareable, link_pack
from envgit.store.deflate import compress, crc32
from envgit.store.object_store import ObjectStore
from envgit.store.pack_reader import Pack
from envgit.store.pack_writer import OBJECT_TYPES, RECORD, PackFileWriter, entry_header

_LEAST_LINKED_BYTES = 1 << 20
"""Smaller packs are put together: the other repository has to look into each of them."""
_REF_DELTA = 7


class Copied(NamedTuple):
    """`objects`: that were wanted and not there. `linked_bytes`: of packs that both share now; `written_bytes`: of the new pack;
    `lent`: the names of the shared ones."""

    objects: int
    linked_bytes: int
    written_bytes: int
    lent: tuple[str, ...] = ()


def copy_objects(source: ObjectStore, wanted: Collection[bytes], target: ObjectStore, monitor: Monitor) -> Copied:
    """Make `wanted` objects of `source` part of `target`, durably; not visible by halves, and safe to repeat.

    Objects that packs of the target hold already are made young there, as git does, and not copied: a gc that runs now keeps
    them. Raises CorruptObject, StorageError.
    """
    rest = set(wanted)
    linked = 0
    lent: list[str] = []
    for pack in _whole_packs(source, rest):
        try:
            with suppress(OSError):
                os.utime(pack.path)  # git prunes by this time what no ref reaches yet
            made = link_pack(pack.path, target.objects_dir + "/pack")
        except NotShareable:
            continue
        linked += made.bytes
        lent.append(made.name)
        rest.difference_update(oid for _, oid, _ in pack.index.entries())
    rest -= _freshen(target, rest)
    if not rest:
        return Copied(len(wanted), linked, 0, tuple(lent))
    writer = PackFileWriter(target.objects_dir)
    try:
        _write(source, rest, writer, monitor)
        result = writer.finish()
    finally:
        writer.abort()
    return Copied(len(wanted), linked, result.bytes, tuple(lent))


def _whole_packs(source: ObjectStore, wanted: Collection[bytes]) -> list[Pack]:
    """Return packs of which every object is wanted; little ones only if there is a single one."""
    whole: list[Pack] = []
    covered: set[bytes] = set()
    for pack in sorted(source.refresh(), key=lambda pack: -pack.index.count):
        if not 0 < pack.index.count <= len(wanted):
            continue
        oids = [oid for _, oid, _ in pack.index.entries()]
        if all(oid in wanted for oid in oids) and not covered.issuperset(oids):
            covered.update(oids)
            whole.append(pack)
    if len(whole) == 1 and len(covered) == len(wanted):
        return whole
    return [pack for pack in whole if _size(pack) >= _LEAST_LINKED_BYTES]


def _size(pack: Pack) -> int:
    try:
        return os.stat(pack.path).st_size
    except FileNotFoundError:
        return 0


def _freshen(target: ObjectStore, oids: Iterable[bytes]) -> set[bytes]:
    """Return which objects are in packs of the target whose time could be renewed; cruft packs go by other times."""
    packs = target.refresh()
    fresh: dict[str, bool] = {}
    found: set[bytes] = set()
    for oid in oids if packs else ():
        for pack in packs:
            if pack.index.find(oid) is None:
                continue
            if pack.path not in fresh:
                fresh[pack.path] = _touch(pack.path)
            if fresh[pack.path]:
                found.add(oid)
                break
    return found


def _touch(path: str) -> bool:
    if os.path.exists(path.removesuffix(".pack") + ".mtimes"):
        return False
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def _write(source: ObjectStore, rest: set[bytes], writer: PackFileWriter, monitor: Monitor) -> None:
    """Append what is wanted, pack by pack in the order of their entries, then what no pack has."""
    todo = set(rest)
    monitor.start("copying objects", len(todo), "objects")
    for pack in source.refresh():
        try:
            pack.open()
        except FileNotFoundError:
            continue  # a gc put its objects elsewhere
        if todo and any(pack.index.find(oid) is not None for oid in todo):
            mine = {oid for _, oid, _ in pack.index.entries() if oid in todo}
            _append(pack, mine, source, writer)
            todo -= mine
            monitor.advance(len(mine))
    for oid in sorted(todo):
        _append_whole(source, oid, writer)
    monitor.finish()


def _append(pack: Pack, mine: set[bytes], source: ObjectStore, writer: PackFileWriter) -> None:
    entries = pack.index.entries()
    data = pack.data()
    names = {offset: oid for offset, oid, _ in entries}
    stops = [offset for offset, _, _ in entries[1:]] + [len(data) - 20]
    for (offset, oid, crc), stop in zip(entries, stops, strict=True):
        if oid not in mine:
            continue
        raw = data[offset:stop]
        if crc32(raw) != crc:
            raise CorruptObject(f"pack {pack.path} is damaged at offset {offset}: it is not copied")
        delta = pack.delta_base(offset)
        if delta is None:
            writer.records += RECORD.pack(oid, crc, writer.offset)
            writer.append(raw)
            continue
        base = delta[0] if isinstance(delta[0], bytes) else names.get(delta[0], b"")
        # Only a base out of this same pack: two packs together could hold a circle of deltas.
        if base in mine:
            writer.add(oid, entry_header(_REF_DELTA, pack.header(offset)[1]) + base, raw[delta[1] - offset :])
        else:
            _append_whole(source, oid, writer)


def _append_whole(source: ObjectStore, oid: bytes, writer: PackFileWriter) -> None:
    type, content = source.read(oid)
    writer.add(oid, entry_header(OBJECT_TYPES[type], len(content)), compress(content))

"""Objects of ours as dulwich writes them into a pack: entries of our packs as they are, so that nothing is compressed again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dulwich.pack import UnpackedObject

from envgit.errors import CorruptObject
from envgit.store.deflate import compress, crc32
from envgit.store.object_store import ObjectStore
from envgit.store.pack_reader import Pack
from envgit.store.pack_writer import OBJECT_TYPES, entry_header
from envgit.transfer.missing import MissingWalk


def pack_records(
    objects: ObjectStore, tips: Iterable[bytes], haves: Iterable[bytes]
) -> tuple[int, Iterator[UnpackedObject]]:
    """Return how many objects a repository with `haves` lacks of `tips`, and the objects. Raises CorruptObject, also later."""
    wanted = [oid for oid, _ in MissingWalk(objects, tips, haves).iter_all()]
    return len(wanted), _records(objects, wanted)


def _records(objects: ObjectStore, wanted: list[bytes]) -> Iterator[UnpackedObject]:
    packs = [(pack, _stops(pack)) for pack in objects.refresh()]
    for oid in wanted:
        yield _stored(packs, oid) or _whole(objects, oid)


def _stops(pack: Pack) -> dict[int, tuple[int, int]]:
    """Return where each entry of a pack ends, and its CRC-32."""
    entries = pack.index.entries()
    ends = [offset for offset, _, _ in entries[1:]] + [len(pack.data()) - 20]
    return {offset: (end, crc) for (offset, _, crc), end in zip(entries, ends, strict=True)}


def _stored(packs: list[tuple[Pack, dict[int, tuple[int, int]]]], oid: bytes) -> UnpackedObject | None:
    """Return the entry that a pack has, if it stands for itself."""
    for pack, stops in packs:
        offset = pack.index.find(oid)
        if offset is None or pack.delta_base(offset) is not None:
            continue
        stop, crc = stops[offset]
        raw = pack.data()[offset:stop]
        if crc32(raw) != crc:
            raise CorruptObject(f"pack {pack.path} is damaged at offset {offset}: it is not sent")
        return _record(pack.header(offset)[0], oid, raw, crc)
    return None


def _whole(objects: ObjectStore, oid: bytes) -> UnpackedObject:
    kind, content = objects.read(oid)
    number = OBJECT_TYPES[kind]
    raw = entry_header(number, len(content)) + compress(content)
    return _record(number, oid, raw, crc32(raw))


def _record(number: int, oid: bytes, raw: bytes, crc: int) -> UnpackedObject:
    record = UnpackedObject(number, delta_base=None, crc32=crc, decomp_chunks=[], sha=oid)
    record.comp_chunks = [raw]
    return record

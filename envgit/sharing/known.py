"""Take history that another repository of the user has already fetched, instead of fetching it again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

from envgit.errors import EnvgitError
from envgit.sharing.linking import link_pack
from envgit.sharing.lookup import wanted_part
from envgit.sharing.packs import SharedPacks
from envgit.sharing.reach import find_reachable
from envgit.store.object_store import MissingObject, ObjectStore
from envgit.store.pack_reader import Pack

_WORTH_LINKING = 0.5


class Taken(NamedTuple):
    """`tips` need not be fetched; `packs`: names (`pack-<40 hex>`) of what was linked."""

    tips: frozenset[bytes]
    packs: tuple[str, ...]


_NOTHING = Taken(frozenset(), ())


def take_known(objects: ObjectStore, environ: Mapping[str, str], wanted: Iterable[bytes], folder: str) -> Taken:
    """Link the shared packs that have what is wanted into `folder`, the objects/pack of a quarantine of this repository.

    The `tips` are those of `wanted` (commits, annotated tags) that need not be fetched: with the packs nothing of what they lead to
    is missing. Only packs are linked of whose bytes that is at least half. All of them were verified when they came to this user,
    with the indexes that go along. Never fails: what is not known is to be fetched.
    """
    with suppress(EnvgitError, OSError):
        shared = SharedPacks.open_(objects.git_dir, environ)
        if shared is not None:
            with shared.in_use():
                return _take(objects, shared, tuple(dict.fromkeys(wanted)), folder)
    return _NOTHING


class _Both:
    """Two stores as one."""

    def __init__(self, first: ObjectStore, second: ObjectStore) -> None:
        self._first, self._second = first, second

    def contains(self, oid: bytes) -> bool:
        return self._first.contains(oid) or self._second.contains(oid)

    def read(self, oid: bytes) -> tuple[str, bytes]:
        for store in (self._first, self._second):
            if store.contains(oid):
                return store.read(oid)
        raise MissingObject(f"object {oid.hex()} is missing")


def _take(objects: ObjectStore, shared: SharedPacks, wanted: tuple[bytes, ...], folder: str) -> Taken:
    store = shared.objects()
    both = _Both(objects, store)
    missing: dict[bytes, set[bytes]] = {}
    for tip in wanted:
        if store.contains(tip):
            with suppress(EnvgitError):
                missing[tip] = {oid for oid in find_reachable(both, [tip]) if not objects.contains(oid)}
    here: set[bytes] = set()
    names: list[str] = []
    for pack in _choose(store.packs(), set().union(*missing.values())):
        with suppress(EnvgitError):
            name = link_pack(pack.path, folder).name
            shared.touch(name)
            names.append(name)
            here.update(oid for _, oid, _ in pack.index.entries())
    return Taken(frozenset(tip for tip, needed in missing.items() if needed <= here), tuple(names))


def _choose(packs: Iterable[Pack], needed: Collection[bytes]) -> list[Pack]:
    """Return the packs that are mostly of what is needed, as long as each brings something new."""
    chosen: list[Pack] = []
    left = set(needed)
    for pack in sorted(packs, key=lambda pack: -pack.index.count):
        brought = {oid for _, oid, _ in pack.index.entries() if oid in left}
        if brought and wanted_part(pack, needed) >= _WORTH_LINKING:
            chosen.append(pack)
            left -= brought
    return chosen

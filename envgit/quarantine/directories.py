"""Is a tree an environment's: every directory against its metadata, every file against its size and SHA-256.

Only what is new is looked at: a directory that the parent has at the same place is sound, and what was found sound once is not
looked at again, however many commits share it. Nor is it counted, until so much is new that the sum could matter: of the parent's
tree we know that it is within the limits, so the new one can exceed them by what was looked at and no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from envgit.errors import EnvgitError
from envgit.layers.tree_limits import MAX_DEPTH, MAX_ENTRIES
from envgit.model import Child, Directory, DirectoryRef
from envgit.quarantine.arrived import ArrivedObjects
from envgit.quarantine.attributes import check_attributes
from envgit.quarantine.chunk_trees import ChunkTreeCheck
from envgit.quarantine.errors import RefusedObjects
from envgit.trees import MODE_TREE, GitContent, GitTreeReader

_UNCOUNTED_ENTRIES = 100_000
"""By so many may the trees of one arrival grow before what they share with ours is counted too."""


class _Totals(NamedTuple):
    """Entries and levels of directories below one. `exact`: nothing was passed over uncounted."""

    entries: int
    depth: int
    exact: bool


class _Open(NamedTuple):
    """A directory whose sub-directories are being looked at. `below`: what is known of those that are done."""

    name: bytes
    ref: DirectoryRef
    known: Directory | None
    pending: Iterator[Child]
    entries: int
    below: list[_Totals]


class DirectoryCheck:
    """Remembers what was found sound. Raises RefusedObjects naming the path."""

    def __init__(self, objects: ArrivedObjects, reader: GitTreeReader) -> None:
        self._objects = objects
        self._reader = reader
        self._chunks = ChunkTreeCheck(objects, reader)
        self._sound: dict[DirectoryRef, _Totals] = {}
        self._counted: dict[DirectoryRef, _Totals] = {}
        self._grown = 0
        self._sound_files: set[tuple[object, bytes | None, int]] = set()

    def check(self, root: DirectoryRef, known: DirectoryRef | None) -> None:
        """Check everything below `root`. `known`: the root of a sound tree that is likely to share most of it."""
        path: list[_Open] = []
        try:
            path.append(self._open(b"", root, self._read_known(known), is_root=True))
            while path:
                top = path[-1]
                child = next(top.pending, None)
                if child is None:
                    self._close(path)
                    continue
                ref = child.content
                assert isinstance(ref, DirectoryRef)
                same = top.known.children.get(child.entry.name) if top.known is not None else None
                done = self._sound.get(ref)
                if same is not None and same.content == ref:
                    top.below.append(done or _PASSED_OVER)
                    continue
                if done is not None:
                    top.below.append(done if done.exact else self._count(ref))
                    continue
                if len(path) > MAX_DEPTH:
                    raise RefusedObjects(f"a directory lies below more than {MAX_DEPTH} others")
                below = same.content if same is not None and isinstance(same.content, DirectoryRef) else None
                path.append(_Open(child.entry.name, ref, None, iter(()), 0, []))  # for the message, should it not open
                path[-1] = self._open(child.entry.name, ref, self._read_known(below), is_root=False)
        except EnvgitError as error:
            where = os.fsdecode(b"/" + b"/".join(each.name for each in path[1:]))[:400]
            kind = type(error) if isinstance(error, RefusedObjects) else RefusedObjects
            hint = error.hint if isinstance(error, RefusedObjects) else None
            raise kind(f"{where}: {error.message}", hint=hint) from None

    def _open(self, name: bytes, ref: DirectoryRef, known: Directory | None, *, is_root: bool) -> _Open:
        directory = self._reader.read_directory(ref)
        if directory.links_sha256 is not None and not is_root:
            raise RefusedObjects("it has a table of hard links, which only the root directory may have")
        check_attributes(directory.own)
        folders = []
        for each, child in directory.children.items():
            check_attributes(child.entry)
            if isinstance(child.content, DirectoryRef):
                folders.append(child)
            elif child.content is not None:
                same = known.children.get(each) if known is not None else None
                self._check_file(child, same)
        return _Open(name, ref, known, iter(folders), len(directory.children), [])

    def _close(self, path: list[_Open]) -> None:
        done = path.pop()
        totals = _sum(done.entries, done.below)
        if not path:
            self._grown += totals.entries
            if not totals.exact and self._grown > _UNCOUNTED_ENTRIES:
                totals = self._count(done.ref)
        _check_limits(totals)
        if path:  # a root may have what no other directory may
            self._sound[done.ref] = totals
            path[-1].below.append(totals)

    def _count(self, ref: DirectoryRef) -> _Totals:
        """Return what is below a directory that was looked at or is ours, exactly. Each is read once, however often it appears."""
        done = self._sound.get(ref)
        if done is None or not done.exact:
            done = self._counted.get(ref)
        if done is None:
            children = self._reader.read_directory(ref).children
            below = [self._count(each.content) for each in children.values() if isinstance(each.content, DirectoryRef)]
            done = self._counted[ref] = _sum(len(children), below)
            _check_limits(done)
        return done

    def _check_file(self, child: Child, same: Child | None) -> None:
        entry, content = child.entry, child.content
        assert isinstance(content, GitContent)
        if (
            same is not None
            and same.content == content
            and (same.entry.sha256, same.entry.size) == (entry.sha256, entry.size)
        ):
            return
        key = (content, entry.sha256, entry.size)
        if key in self._sound_files:
            return
        name = os.fsdecode(entry.name)
        if content.mode == MODE_TREE:
            before = same.content if same is not None and isinstance(same.content, GitContent) else None
            self._chunks.check(child, before.oid if before is not None and before.mode == MODE_TREE else None)
        else:
            known = self._objects.look_at(content.oid)
            if known.type != "blob":
                raise RefusedObjects(f"the content of {name!r} is a {known.type}")
            if known.size != entry.size:
                raise RefusedObjects(f"{name!r} has {known.size} bytes, its metadata says {entry.size}")
            if known.sha256 and known.sha256 != entry.sha256:
                raise RefusedObjects(f"the content of {name!r} does not have the SHA-256 that its metadata says")
        self._sound_files.add(key)

    def _read_known(self, ref: DirectoryRef | None) -> Directory | None:
        try:
            return None if ref is None else self._reader.read_directory(ref)
        except EnvgitError:
            return None  # then everything is looked at


_PASSED_OVER = _Totals(0, 0, False)


def _sum(count: int, below: list[_Totals]) -> _Totals:
    return _Totals(
        min(count + sum(each.entries for each in below), 2 * MAX_ENTRIES),
        max((each.depth + 1 for each in below), default=0),
        all(each.exact for each in below),
    )


def _check_limits(totals: _Totals) -> None:
    if totals.entries > MAX_ENTRIES:
        raise RefusedObjects(f"a tree of more than {MAX_ENTRIES} entries, as few objects as may describe it")
    if totals.depth > MAX_DEPTH:
        raise RefusedObjects(f"a directory lies below more than {MAX_DEPTH} others")

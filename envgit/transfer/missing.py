"""What another repository lacks of this one: its new commits and, in their trees, what their parents do not have.

History that the other one has is not walked: both sides are followed from their tips, newest first, until only known commits are
left (git's revision.c, limit_list). Wrong clocks make the answer larger, never smaller than what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

from envgit.store.object_store import MissingObject
from envgit.store.objects import MODE_TREE, decode_tree, parse_commit_links, parse_tag_target

_MODE_SUBMODULE = 0o160000
_MOST_EDGES = 8
"""So many known trees a new one is compared with: more would cost more than they save."""
_Links = tuple[bytes, tuple[bytes, ...], int]


class _Objects(Protocol):
    def contains(self, oid: bytes) -> bool: ...
    def read(self, oid: bytes) -> tuple[str, bytes]: ...
    def shallow(self) -> frozenset[bytes]: ...


class NewCommit(NamedTuple):
    """A commit that the other side lacks, with its tree and parents."""

    oid: bytes
    tree: bytes
    parents: tuple[bytes, ...]


class MissingWalk:
    """Finds what a repository that has `haves` lacks of `tips` (any objects; tags are followed).

    `haves` that are not in the store do not count. Every object is given out once; one that a parent has under another folder
    may be given out though it is known there. Raises CorruptObject when a tip is incomplete.
    """

    def __init__(self, objects: _Objects, tips: Iterable[bytes], haves: Iterable[bytes]) -> None:
        self._objects = objects
        self._cut = objects.shallow()
        self._links: dict[bytes, _Links] = {}
        self._seen: set[bytes] = set()
        self._tags: list[bytes] = []
        self._loose_ends: list[tuple[str, bytes]] = []
        known = set(haves)
        starts = [oid for tip in dict.fromkeys(tips) if tip not in known for oid in self._peel(tip)]
        self.commits = self._sort(self._limit(starts, self._commits_of(known))) if starts else []
        """Parents first."""
        self._edges = self._find_edges()

    def _find_edges(self) -> tuple[bytes, ...]:
        """Return trees of known parents of new commits: the other side has what is in them (as git's pack-objects takes it)."""
        new = {commit.oid for commit in self.commits}
        edges = dict.fromkeys(
            parent for commit in reversed(self.commits) for parent in commit.parents if parent not in new
        )
        here = [parent for parent in edges if self._objects.contains(parent)]
        return tuple(self.links(parent)[0] for parent in here[:_MOST_EDGES])

    def _peel(self, oid: bytes) -> list[bytes]:
        """Return the commit that a tip leads to; remember tags on the way and what is no commit."""
        while True:
            type, data = self._objects.read(oid)
            if type == "commit":
                self._links[oid] = self._parse(oid, data)
                return [oid]
            if type != "tag":
                self._loose_ends.append((type, oid))
                return []
            self._tags.append(oid)
            oid = parse_tag_target(data)[0]

    def _commits_of(self, haves: Iterable[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for oid in haves:
            if not self._objects.contains(oid):
                continue
            try:
                type, data = self._objects.read(oid)
                while type == "tag":
                    oid = parse_tag_target(data)[0]
                    type, data = self._objects.read(oid)
            except MissingObject:
                continue
            if type == "commit":
                self._links[oid] = self._parse(oid, data)
                found.append(oid)
        return found

    def _parse(self, oid: bytes, data: bytes) -> _Links:
        tree, parents, seconds = parse_commit_links(data)
        return tree, () if oid in self._cut else parents, seconds

    def links(self, oid: bytes) -> _Links:
        """Return (tree, parents, committer seconds) of a commit."""
        found = self._links.get(oid)
        if found is None:
            found = self._links[oid] = self._parse(oid, self._objects.read(oid)[1])
        return found

    def _limit(self, starts: list[bytes], haves: list[bytes]) -> list[bytes]:
        """Return the commits that `starts` reach and `haves` do not."""
        known, spread, order = set(haves), set[bytes](), list[bytes]()
        queue: list[tuple[int, int, bytes]] = []
        waiting: set[bytes] = set()
        """What is in the queue and not known."""
        met: set[bytes] = set()

        def push(oid: bytes) -> None:
            heappush(queue, (-self.links(oid)[2], len(queue), oid))

        for oid in haves:
            push(oid)
        for oid in starts:
            if oid not in known and oid not in met:
                met.add(oid)
                waiting.add(oid)
                push(oid)
        while waiting:
            oid = heappop(queue)[2]
            if oid in known:
                if oid not in spread:
                    spread.add(oid)
                    for parent in self.links(oid)[1]:
                        if parent not in known and self._objects.contains(parent):
                            known.add(parent)
                            waiting.discard(parent)
                            push(parent)
                continue
            waiting.discard(oid)
            order.append(oid)
            for parent in self.links(oid)[1]:
                if parent not in known and parent not in met:
                    met.add(parent)
                    waiting.add(parent)
                    push(parent)
        return [oid for oid in order if oid not in known]

    def _sort(self, commits: list[bytes]) -> list[NewCommit]:
        """Put parents first; the line of first parents is kept together as far as that goes."""
        new = set(commits)
        result: list[NewCommit] = []
        done: set[bytes] = set()
        for start in commits:
            stack = [start]
            while stack:
                oid = stack[-1]
                tree, parents, _ = self.links(oid)
                waiting = [parent for parent in parents if parent in new and parent not in done]
                if waiting:
                    stack += reversed(waiting)
                    continue
                stack.pop()
                if oid not in done:
                    done.add(oid)
                    result.append(NewCommit(oid, tree, parents))
        return result

    def iter_all(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (id, path in the commit's tree) of everything that is missing; commits and tags have no path."""
        for commit in self.commits:
            yield from self.iter_commit(commit)
        yield from self.iter_rest()

    def iter_commit(self, commit: NewCommit) -> Iterator[tuple[bytes, bytes]]:
        """Yield a commit and what is new in it; its parents must have been asked for before."""
        yield commit.oid, b""
        parents = (self.links(parent)[0] for parent in commit.parents if self._objects.contains(parent))
        yield from self._iter_tree(commit.tree, tuple(dict.fromkeys((*parents, *self._edges))))

    def iter_rest(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield tags, and what they name other than commits."""
        for oid in self._tags:
            if oid not in self._seen:
                self._seen.add(oid)
                yield oid, b""
        for type, oid in self._loose_ends:
            if type == "tree":
                yield from self._iter_tree(oid, ())
            elif oid not in self._seen:
                self._seen.add(oid)
                yield oid, b""

    def _iter_tree(self, top: bytes, bases: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
        seen, read = self._seen, self._objects.read
        stack = [(top, bases, b"")] if top not in bases and top not in seen else []
        while stack:
            tree, bases, path = stack.pop()
            if tree in seen:
                continue
            seen.add(tree)
            yield tree, path
            folders: dict[bytes, list[bytes]] = {}
            known: set[bytes] = set()
            for base in bases:
                for mode, name, oid in self._read_base(base):
                    known.add(oid)
                    if mode == MODE_TREE:
                        folders.setdefault(name, []).append(oid)
            prefix = path + b"/" if path else b""
            for mode, name, oid in decode_tree(read(tree)[1]):
                if oid in known or oid in seen:
                    continue
                if mode == MODE_TREE:
                    stack.append((oid, tuple(folders.get(name, ())), prefix + name))
                elif mode != _MODE_SUBMODULE:
                    seen.add(oid)
                    yield oid, prefix + name

    def _read_base(self, oid: bytes) -> list[tuple[int, bytes, bytes]]:
        """Return a tree that the other side has; it need not be here."""
        try:
            return decode_tree(self._objects.read(oid)[1])
        except MissingObject:
            return []

"""Walks over commits: order, ancestry, merge bases. Reads commits through ObjectStore, without a git library.

Ancestry never trusts dates (clocks are wrong in real histories); only the order of output does, as in git. Where history is cut
short (store/shallow.py) a commit has no parents.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from heapq import heappop, heappush
from typing import Protocol

from envgit.errors import CorruptObject
from envgit.store.objects import parse_commit_links


class _Objects(Protocol):
    def read(self, oid: bytes) -> tuple[str, bytes]: ...
    def shallow(self) -> frozenset[bytes]: ...


class _Graph:
    """Parents and dates of commits, each read once."""

    def __init__(self, objects: _Objects) -> None:
        self._objects = objects
        self._cut = objects.shallow()
        self._known: dict[bytes, tuple[tuple[bytes, ...], int]] = {}

    def get(self, oid: bytes) -> tuple[tuple[bytes, ...], int]:
        """Return (parents, committer seconds)."""
        found = self._known.get(oid)
        if found is None:
            type, data = self._objects.read(oid)
            if type != "commit":
                raise CorruptObject(f"object {oid.hex()} is a {type}, not a commit")
            _, parents, seconds = parse_commit_links(data)
            found = self._known[oid] = (() if oid in self._cut else parents, seconds)
        return found

    def ancestors(self, starts: Iterable[bytes]) -> set[bytes]:
        """Return all commits reachable from `starts`, these included."""
        seen = set(starts)
        stack = list(seen)
        while stack:
            for parent in self.get(stack.pop())[0]:
                if parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
        return seen


def iter_commits(
    objects: _Objects,
    starts: Iterable[bytes],
    excluded: Collection[bytes] = (),
    *,
    first_parent: bool = False,
    topo: bool = False,
) -> Iterator[bytes]:
    """Yield commits reachable from `starts` and not from `excluded`, newest committer date first as git does.

    `topo`: no parent before all of its children, lines of history not mixed (git's --topo-order). `first_parent`:
    follow only first parents. Raises CorruptObject.
    """
    graph = _Graph(objects)
    hidden = graph.ancestors(excluded) if excluded else set()
    dated = _iter_dated(graph, starts, hidden, first_parent)
    return _iter_topological(graph, list(dated), first_parent) if topo else dated


def _parents(graph: _Graph, oid: bytes, first_parent: bool) -> tuple[bytes, ...]:
    parents = graph.get(oid)[0]
    return parents[:1] if first_parent else parents


def _iter_dated(graph: _Graph, starts: Iterable[bytes], hidden: set[bytes], first_parent: bool) -> Iterator[bytes]:
    queue: list[tuple[int, int, bytes]] = []
    seen = set(hidden)
    for oid in starts:
        if oid not in seen:
            seen.add(oid)
            heappush(queue, (-graph.get(oid)[1], len(seen), oid))
    while queue:
        oid = heappop(queue)[2]
        yield oid
        for parent in _parents(graph, oid, first_parent):
            if parent not in seen:
                seen.add(parent)
                heappush(queue, (-graph.get(parent)[1], len(seen), parent))


def _iter_topological(graph: _Graph, commits: list[bytes], first_parent: bool) -> Iterator[bytes]:
    children = dict.fromkeys(commits, 0)
    for oid in commits:
        for parent in _parents(graph, oid, first_parent):
            if parent in children:
                children[parent] += 1
    stack = [oid for oid in reversed(commits) if not children[oid]]
    while stack:
        oid = stack.pop()
        yield oid
        for parent in _parents(graph, oid, first_parent):
            if parent in children:
                children[parent] -= 1
                if not children[parent]:
                    stack.append(parent)


def is_ancestor(objects: _Objects, ancestor: bytes, descendant: bytes) -> bool:
    """Whether `ancestor` is reachable from `descendant` (a commit is its own ancestor)."""
    return _search(objects, ancestor, descendant, None)


def is_ancestor_within(objects: _Objects, ancestor: bytes, descendant: bytes, limit: int) -> bool:
    """As is_ancestor, but looks at no more than `limit` commits: False then means "not found"."""
    return _search(objects, ancestor, descendant, limit)


def _search(objects: _Objects, ancestor: bytes, descendant: bytes, limit: int | None) -> bool:
    """Newest first: with sane clocks the answer is near."""
    if ancestor == descendant:
        return True
    for count, oid in enumerate(iter_commits(objects, [descendant])):
        if oid == ancestor:
            return True
        if limit is not None and count >= limit:
            return False
    return False


def merge_bases(objects: _Objects, one: bytes, other: bytes) -> list[bytes]:
    """Return the best common ancestors (git merge-base --all), newest first."""
    graph = _Graph(objects)
    reachable = graph.ancestors([one])
    found: list[bytes] = []
    seen = {other}
    stack = [other]
    while stack:
        oid = stack.pop()
        if oid in reachable:
            found.append(oid)
            continue
        for parent in graph.get(oid)[0]:
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    best = [
        oid for oid in found if len(found) == 1 or oid not in graph.ancestors(above for above in found if above != oid)
    ]
    return sorted(best, key=lambda oid: -graph.get(oid)[1])


def merge_base(objects: _Objects, one: bytes, other: bytes) -> bytes | None:
    """Return the newest best common ancestor, None for unrelated histories."""
    bases = merge_bases(objects, one, other)
    return bases[0] if bases else None

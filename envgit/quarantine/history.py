"""Which commits are new: from the tips down to what the repository's own refs reach, or to where history was cut."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from envgit.errors import EnvgitError
from envgit.quarantine.arrived import ArrivedObjects
from envgit.quarantine.errors import NotAnEnvironment, RefusedObjects
from envgit.store.history import iter_commits
from envgit.store.object_store import ObjectStore
from envgit.store.objects import parse_commit_links, parse_tag_target

MAX_TAG_DEPTH = 16
"""How many tags may name each other before a commit comes."""


class NewHistory(NamedTuple):
    """`commits`: new ones, parents first. `cut`: those of them, and of ours, whose parents are missing and may be;
    `complete`: commits that were said to be cut, and whose parents are here."""

    commits: list[bytes]
    parents: dict[bytes, tuple[bytes, ...]]
    cut: frozenset[bytes]
    complete: frozenset[bytes]


class OwnHistory:
    """The commits that our refs reach, found no further than somebody asks: nearly always it is a tip that is asked for."""

    def __init__(self, ours: ObjectStore, tips: Iterable[bytes]) -> None:
        self._seen: set[bytes] = set()
        self._walk = self._iterate(ours, tips)

    def _iterate(self, ours: ObjectStore, tips: Iterable[bytes]) -> Iterator[bytes]:
        starts = []
        for oid in tips:
            try:
                type, data = ours.read(oid)
                while type == "tag":
                    oid = parse_tag_target(data)[0]
                    type, data = ours.read(oid)
            except EnvgitError:
                continue  # a broken ref proves nothing; what is really missing is found when it is needed
            if type == "commit":
                starts.append(oid)
        self._seen.update(starts)
        yield from iter_commits(ours, starts)

    def reaches(self, oid: bytes) -> bool:
        """Whether a ref of ours reaches the commit, and so all that is below it is here."""
        if oid in self._seen:
            return True
        try:
            for found in self._walk:
                self._seen.add(found)
                if found == oid:
                    return True
        except EnvgitError:
            return False
        return False


def find_new_history(
    objects: ArrivedObjects, own: OwnHistory, tips: Iterable[bytes], cut: Collection[bytes], uncut: Iterable[bytes]
) -> NewHistory:
    """Walk from `tips` (commits or tags), and from the parents of `uncut`, which are commits of ours.

    `cut`: commits whose parents may be missing. Raises RefusedObjects when anything else is missing, or is no commit.
    """
    starts = [peel_tip(objects, tip) for tip in tips]
    for oid in uncut:
        starts += _parents(objects, oid)
    parents: dict[bytes, tuple[bytes, ...]] = {}
    order: list[bytes] = []
    ends: set[bytes] = set()
    complete: set[bytes] = set()
    stack: list[tuple[bytes, bool]] = [(oid, False) for oid in reversed(starts)]
    while stack:
        oid, done = stack.pop()
        if done:
            order.append(oid)
            continue
        if oid in parents or own.reaches(oid):
            continue
        above = _parents(objects, oid)
        if oid in cut:
            if all(objects.is_new(parent) or own.reaches(parent) for parent in above):
                complete.add(oid)
            else:
                ends.add(oid)
                above = ()
        parents[oid] = above
        stack.append((oid, True))
        stack += [(parent, False) for parent in above if parent not in parents]
    # Whatever else was said to be cut is ours, or reached by nothing: nobody takes history from us by saying so.
    complete.update(oid for oid in cut if oid not in ends)
    return NewHistory(order, parents, frozenset(ends), frozenset(complete))


def peel_tip(objects: ArrivedObjects, oid: bytes) -> bytes:
    """Return the commit that a tip leads to. Raises RefusedObjects for anything else, NotAnEnvironment for trees and blobs."""
    first = oid
    for _ in range(MAX_TAG_DEPTH + 1):
        type, data = objects.read(oid)
        if type == "commit":
            return oid
        if type != "tag":
            raise NotAnEnvironment(f"{first.hex()} leads to a {type}; an environment is a commit")
        oid, claimed = parse_tag_target(data)
        actual = objects.look_at(oid).type
        if actual != claimed:
            raise RefusedObjects(f"tag {first.hex()} names a {claimed}, but {oid.hex()} is a {actual}")
    raise RefusedObjects(f"tag {first.hex()} leads through more than {MAX_TAG_DEPTH} tags")


def _parents(objects: ArrivedObjects, oid: bytes) -> tuple[bytes, ...]:
    type, data = objects.read(oid)
    if type != "commit":
        raise RefusedObjects(f"{oid.hex()} is a {type} where a commit is needed")
    return parse_commit_links(data)[1]

"""Which objects a client lacks, and where its history is to be cut (gitprotocol-v2(5), "fetch")."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from envgit.serving.errors import AnswerFailed
from envgit.store.object_store import ObjectStore
from envgit.store.objects import MODE_TREE, decode_tree, parse_commit_links, parse_tag_target

_MODE_GITLINK = 0o160000


class Cut(NamedTuple):
    """What the client must take for cut short, and what no longer."""

    shallow: tuple[bytes, ...] = ()
    unshallow: tuple[bytes, ...] = ()


class Selection:
    """One answer's walk. `going` is asked now and then and raises when nobody waits any more."""

    def __init__(self, objects: ObjectStore, going: Callable[[], None]) -> None:
        self._objects = objects
        self._going = going
        self._links: dict[bytes, tuple[bytes, tuple[bytes, ...]]] = {}

    def cut(self, wants: Iterable[bytes], had: Collection[bytes], depth: int | None, relative: bool) -> Cut:
        """Return where history ends for a client that has it cut at `had`.

        `depth`: commits in a row from each want, or with `relative` more than it has; None: only where it is cut here as well.
        """
        starts = had if relative else [oid for oid in map(self._commit_of, wants) if oid is not None]
        first = 0 if relative else 1
        depths = dict.fromkeys(starts, first)
        queue = list(depths)
        for oid in queue:  # breadth first: grows on the way
            if depth is None or depths[oid] < depth:
                for parent in self._parents(oid):
                    if parent not in depths:
                        depths[parent] = depths[oid] + 1
                        queue.append(parent)
        here = self._objects.shallow()
        ends = {oid for oid in depths if oid in here or (depths[oid] == depth and self._parents(oid))}
        return Cut(
            tuple(sorted(ends - set(had))), tuple(sorted(oid for oid in had if oid in depths and oid not in ends))
        )

    def missing(
        self, wants: Iterable[bytes], haves: Iterable[bytes], had: Collection[bytes], ends: Collection[bytes]
    ) -> list[bytes]:
        """Return the objects to send: commits first, then trees and files. `had`: where the client's history is cut; `ends`: where
        it is to end now."""
        theirs = set(self._walk([oid for oid in map(self._commit_of, haves) if oid is not None], had))
        commits: list[bytes] = []
        others: dict[bytes, None] = {}
        trees: list[bytes] = []
        for want in wants:
            chain, type = self._follow(want)
            others.update(dict.fromkeys(chain[:-1]))
            if type == "commit":
                commits.append(chain[-1])
            elif type == "tree":
                trees.append(chain[-1])
            else:
                others[chain[-1]] = None
        new = [oid for oid in self._walk(commits, ends) if oid not in theirs]
        known = self._known_trees(new, theirs)
        trees += [self._read_links(oid)[0] for oid in new]
        return [*new, *others, *self._contents(trees, known)]

    def _walk(self, starts: Iterable[bytes], ends: Collection[bytes]) -> Iterator[bytes]:
        """Yield commits, each once; no parents of `ends`, nor of where history is cut here."""
        seen = set(starts)
        stack = list(seen)
        while stack:
            oid = stack.pop()
            yield oid
            if oid not in ends:
                for parent in self._parents(oid):
                    if parent not in seen:
                        seen.add(parent)
                        stack.append(parent)

    def _known_trees(self, new: Iterable[bytes], theirs: Collection[bytes]) -> set[bytes]:
        """Return everything below the client's commits that new ones build on, and their own trees: what need not be sent."""
        edges = {parent for oid in new for parent in self._parents(oid) if parent in theirs}
        return set(self._contents([self._read_links(oid)[0] for oid in edges], set()))

    def _contents(self, trees: Iterable[bytes], known: set[bytes]) -> Iterator[bytes]:
        """Yield trees and what is in them, each once, without what is `known`; that grows by them."""
        stack = [oid for oid in dict.fromkeys(trees) if oid not in known]
        known.update(stack)
        while stack:
            oid = stack.pop()
            yield oid
            self._going()
            for mode, _, child in decode_tree(self._objects.read(oid)[1]):
                if child in known or mode == _MODE_GITLINK:
                    continue
                known.add(child)
                if mode == MODE_TREE:
                    stack.append(child)
                else:
                    yield child

    def _commit_of(self, oid: bytes) -> bytes | None:
        chain, type = self._follow(oid)
        return chain[-1] if type == "commit" else None

    def _follow(self, oid: bytes) -> tuple[list[bytes], str]:
        chain = [oid]
        type, data = self._objects.read(oid)
        while type == "tag":
            chain.append(parse_tag_target(data)[0])
            if len(set(chain)) != len(chain):
                raise AnswerFailed("a tag leads to itself")
            type, data = self._objects.read(chain[-1])
        return chain, type

    def _parents(self, oid: bytes) -> tuple[bytes, ...]:
        return () if oid in self._objects.shallow() else self._read_links(oid)[1]

    def _read_links(self, oid: bytes) -> tuple[bytes, tuple[bytes, ...]]:
        found = self._links.get(oid)
        if found is None:
            self._going()
            tree, parents, _ = parse_commit_links(self._objects.read(oid)[1])
            found = self._links[oid] = (tree, parents)
        return found

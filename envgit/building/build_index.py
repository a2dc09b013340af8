"""Which commits were built from which key: `build/index` of the repository, a cache beside the trailers of the commits.

Lines of two words, key and commit id, appended. What is missing there is looked for in the commits that refs have reached
since the last time; what is there is believed only after a look at the commit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from itertools import islice, takewhile

from envgit.building.files.kept_file import read_kept
from envgit.errors import EnvgitError, StorageError
from envgit.repo import Repository
from envgit.snapshot import BUILD_TRAILER, Snapshot, read_config_bytes, read_digest, read_snapshot
from envgit.store import storage
from envgit.store.history import iter_commits
from envgit.store.objects import parse_commit

FOLDER = "build"
BUILDS_PREFIX = "refs/envgit/builds/"
MOST_UNITS = 500
"""Of one build."""
_HEX = frozenset("0123456789abcdef")
Accept = Callable[[Snapshot], bool]
_OWN = ("refs/heads/", "refs/envgit/")
"""Whose commits are believed. What was only fetched is not, nor are tags, which git fetches without being asked: anybody can
write any key into a message."""


def _is_id(word: str, digits: int) -> bool:
    return len(word) == digits and _HEX.issuperset(word)


def _holds_the_same(one: Snapshot, other: Snapshot) -> bool:
    return (one.root.sha256, one.config_sha256) == (other.root.sha256, other.config_sha256)


class BuildIndex:
    """Finds commits by key. One per command: what others build meanwhile is seen by the next."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._oids: dict[bytes, list[bytes]] | None = None
        self._is_complete = False
        self._last: set[bytes] | None = None

    def find(self, key: bytes, parent: bytes | None, accept: Accept = lambda snapshot: True) -> Snapshot | None:
        """Return an acceptable commit that was built from `key`: best one of the last builds, as undo leaves them, whose only
        parent is `parent` (None: that has none), else the newest."""
        found = self._find(key, parent, accept)
        if found is None and not self._is_complete:
            self._complete()
            found = self._find(key, parent, accept)
        return found

    def add(self, key: bytes, oid: bytes) -> None:
        """Note a commit that exists."""
        oids = self._known().setdefault(key, [])
        if oid in oids:
            return
        oids.append(oid)
        self._append(f"{key.hex()} {oid.hex()}\n")

    def _find(self, key: bytes, parent: bytes | None, accept: Accept) -> Snapshot | None:
        read = (self._read(oid, key) for oid in self._known().get(key, ()))
        candidates = [snapshot for snapshot in read if snapshot is not None and accept(snapshot)]
        if len(candidates) < 2:
            return next(iter(candidates), None)
        wanted = (parent,) if parent is not None else ()
        last, places = self._last_builds(), range(len(candidates))
        # What --no-cache made again is what counts from then on, unless it was undone.
        ranks = {
            place: (each.oid in last, each.commit.parents == wanted, each.commit.committer.seconds, place)
            for place, each in zip(places, candidates, strict=True)
        }
        best = candidates[max(places, key=ranks.__getitem__)]
        if best.commit.parents == wanted:
            return best
        same = (each for each in reversed(candidates) if each.commit.parents == wanted and _holds_the_same(each, best))
        return next(same, best)

    def _last_builds(self) -> set[bytes]:
        """Return the commits of the last build of each environment and stage."""
        if self._last is None:
            found: set[bytes] = set()
            for _, tip in self._repo.refs.iter_refs(BUILDS_PREFIX):
                if self._repo.objects.contains(tip):
                    chain = iter_commits(self._repo.objects, [tip], first_parent=True)
                    found.update(islice(takewhile(lambda oid: oid not in found, chain), MOST_UNITS))
            self._last = found
        return self._last

    def _read(self, oid: bytes, key: bytes) -> Snapshot | None:
        """Return a commit if it says that it was built from `key`, and has the files and configuration that it says."""
        try:
            snapshot = read_snapshot(self._repo.objects, oid)
            if read_digest(snapshot.commit.message, BUILD_TRAILER) != key:
                return None
            self._repo.reader.read_directory(snapshot.root)
            read_config_bytes(self._repo.objects, snapshot)
        except EnvgitError:  # gc dropped it, or it is damaged or forged
            return None
        return snapshot

    def _known(self) -> dict[bytes, list[bytes]]:
        if self._oids is None:
            self._oids = {}
            for line in self._read_lines("index"):
                key, _, oid = line.partition(" ")
                if _is_id(key, 64) and _is_id(oid, 40):  # else a line that was cut off
                    self._oids.setdefault(bytes.fromhex(key), []).append(bytes.fromhex(oid))
        return self._oids

    def _complete(self) -> None:
        """Read the trailers of the commits that refs reach and no earlier look did: fetched ones, or all after a loss."""
        self._is_complete = True
        objects = self._repo.objects
        tips = sorted({oid for name, oid in self._repo.refs.iter_refs() if name.startswith(_OWN)})
        stamp = sha256(b"".join(tips)).hexdigest()
        seen = self._read_lines("seen") if self._known() else []  # what was seen is of no use without what was found
        if stamp in seen[:1]:
            return
        known = {bytes.fromhex(word) for word in seen[1:] if _is_id(word, 40)}
        starts = [oid for oid in tips if objects.contains(oid) and objects.read(oid)[0] == "commit"]
        # The oldest first, as builds append them.
        for oid in reversed([*iter_commits(objects, starts, [oid for oid in known if objects.contains(oid)])]):
            key = read_digest(parse_commit(objects.read(oid)[1]).message, BUILD_TRAILER)
            if key is not None:
                self.add(key, oid)
        text = "\n".join([stamp, *(oid.hex() for oid in starts)]) + "\n"
        with suppress(StorageError):
            self._prepare()
            storage.write_file(self._repo.path(FOLDER, "seen"), text.encode(), step="build-index", durable=False)

    def _read_lines(self, name: str) -> list[str]:
        try:
            return read_kept(self._repo.path(FOLDER, name)).decode("ascii", "replace").splitlines()
        except OSError:
            return []

    def _append(self, line: str) -> None:
        with suppress(StorageError):  # it is a cache: what cannot be written is looked for again
            self._prepare()
            storage.append(self._repo.path(FOLDER, "index"), line.encode(), step="build-index")

    def _prepare(self) -> None:
        folder = self._repo.path(FOLDER)
        if not os.path.isdir(folder):
            storage.make_directory(folder, step="build-folder", parents=True)

"""Which commits were built from which key: `build/index` of the repository, a cache beside the trailers of the commits.

Lines of two words, key and commit id, appended. What is missing there is looked for in the commits that refs have reached
since the last time; what is there is believed only after a look at the commit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256

from envgit.errors import EnvgitError
from envgit.repo import Repository
from envgit.snapshot import BUILD_TRAILER, Snapshot, read_digest, read_snapshot
from envgit.store import storage
from envgit.store.history import iter_commits
from envgit.store.objects import parse_commit

FOLDER = "build"
_HEX = frozenset("0123456789abcdef")
Accept = Callable[[Snapshot], bool]
_FOREIGN = "refs/remotes/"
"""What was fetched and nobody has made a branch of: anybody can write any key into a message."""


def _is_id(word: str, digits: int) -> bool:
    return len(word) == digits and _HEX.issuperset(word)


class BuildIndex:
    """Finds commits by key. One per command: what others build meanwhile is seen by the next."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._oids: dict[bytes, list[bytes]] | None = None
        self._is_complete = False

    def find(self, key: bytes, parent: bytes | None, accept: Accept = lambda snapshot: True) -> Snapshot | None:
        """Return an acceptable commit that was built from `key`, best one whose only parent is `parent` (None: that has none)."""
        found = self._find(key, parent, accept)
        if found is None and not self._is_complete:
            self._complete()
            found = self._find(key, parent, accept)
        return found

    def add(self, key: bytes, oid: bytes) -> None:
        """Note a commit that exists."""
        if oid in self._known().setdefault(key, []):
            return
        self._known()[key].append(oid)
        self._append(f"{key.hex()} {oid.hex()}\n")

    def _find(self, key: bytes, parent: bytes | None, accept: Accept) -> Snapshot | None:
        read = (self._read(oid, key) for oid in self._known().get(key, ()))
        candidates = [snapshot for snapshot in read if snapshot is not None and accept(snapshot)]
        wanted = (parent,) if parent is not None else ()
        return next((each for each in candidates if each.commit.parents == wanted), next(iter(candidates), None))

    def _read(self, oid: bytes, key: bytes) -> Snapshot | None:
        try:
            snapshot = read_snapshot(self._repo.objects, oid)
        except EnvgitError:  # gc dropped it
            return None
        return snapshot if read_digest(snapshot.commit.message, BUILD_TRAILER) == key else None

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
        tips = sorted({oid for name, oid in self._repo.refs.iter_refs() if not name.startswith(_FOREIGN)})
        stamp = sha256(b"".join(tips)).hexdigest()
        seen = self._read_lines("seen")
        if stamp in seen[:1]:
            return
        known = {bytes.fromhex(word) for word in seen[1:] if _is_id(word, 40)}
        starts = [oid for oid in tips if objects.contains(oid) and objects.read(oid)[0] == "commit"]
        for oid in iter_commits(objects, starts, [oid for oid in known if objects.contains(oid)]):
            key = read_digest(parse_commit(objects.read(oid)[1]).message, BUILD_TRAILER)
            if key is not None:
                self.add(key, oid)
        text = "\n".join([stamp, *(oid.hex() for oid in starts)]) + "\n"
        self._prepare()
        storage.write_file(self._repo.path(FOLDER, "seen"), text.encode(), step="build-index", durable=False)

    def _read_lines(self, name: str) -> list[str]:
        try:
            with open(self._repo.path(FOLDER, name), encoding="ascii", errors="replace") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def _append(self, line: str) -> None:
        self._prepare()
        storage.append(self._repo.path(FOLDER, "index"), line.encode(), step="build-index")

    def _prepare(self) -> None:
        folder = self._repo.path(FOLDER)
        if not os.path.isdir(folder):
            storage.make_directory(folder, step="build-folder", parents=True)

"""Which commits are layers of images: `build/images` of the repository, a cache beside the trailers of the commits.

Lines of two words, chain id and commit id, appended. What is missing there is looked for in the commits that refs have reached
since the last time; what is there is believed only after a look at the commit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Final

from envgit.errors import EnvgitError, StorageError
from envgit.layers.inode import FILE_FLAGS
from envgit.layers.sources.image_source import is_digest
from envgit.model import DirectoryRef
from envgit.repo import Repository
from envgit.snapshot import CHAIN_TRAILER, read_config_bytes, read_snapshot, read_trailer
from envgit.store import storage
from envgit.store.history import iter_commits
from envgit.store.objects import parse_commit

_FOLDER: Final = "build"
_OWN: Final = ("refs/heads/", "refs/envgit/")
"""Whose commits are believed: anybody can write any chain id into a commit that is only fetched."""
_MOST_BYTES: Final = 64 * 1024 * 1024
_HEX: Final = frozenset("0123456789abcdef")


class KnownLayers:
    """Finds the tree of a chain of layers. One per command."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._oids: dict[str, list[bytes]] | None = None
        self._is_complete = False

    def find_prefix(self, chain_ids: Sequence[str]) -> tuple[DirectoryRef, ...]:
        """Return the trees of as many layers, from the lowest on, as the repository has."""
        found = self._prefix(chain_ids)
        if len(found) < len(chain_ids) and not self._is_complete:
            self._complete()
            found = self._prefix(chain_ids)
        return found

    def add(self, layers: Iterable[tuple[str, bytes]]) -> None:
        """Note commits that exist: (chain id, commit id)."""
        known = self._known()
        lines = []
        for chain_id, oid in layers:
            oids = known.setdefault(chain_id, [])
            if oid not in oids:
                oids.append(oid)
                lines.append(f"{chain_id} {oid.hex()}\n")
        if lines:
            with suppress(StorageError):  # it is a cache: what cannot be written is looked for again
                self._prepare()
                storage.append(self._repo.path(_FOLDER, "images"), "".join(lines).encode(), step="image-index")

    def _prefix(self, chain_ids: Sequence[str]) -> tuple[DirectoryRef, ...]:
        found: list[DirectoryRef] = []
        for chain_id in chain_ids:
            oids = self._known().get(chain_id, ())
            root = next((root for oid in reversed(oids) if (root := self._read(oid, chain_id)) is not None), None)
            if root is None:
                break
            found.append(root)
        return tuple(found)

    def _read(self, oid: bytes, chain_id: str) -> DirectoryRef | None:
        """Return the tree of a commit if it says that it is this chain, and has the files and configuration that it says."""
        try:
            snapshot = read_snapshot(self._repo.objects, oid)
            if read_trailer(snapshot.commit.message, CHAIN_TRAILER) != chain_id.encode():
                return None
            self._repo.reader.read_directory(snapshot.root)
            read_config_bytes(self._repo.objects, snapshot)
        except EnvgitError:  # gc dropped it, or it is damaged
            return None
        return snapshot.root

    def _known(self) -> dict[str, list[bytes]]:
        if self._oids is None:
            self._oids = {}
            for line in self._read_lines("images"):
                chain_id, _, oid = line.partition(" ")
                if is_digest(chain_id) and _is_oid(oid):  # else a line that was cut off
                    self._oids.setdefault(chain_id, []).append(bytes.fromhex(oid))
        return self._oids

    def _complete(self) -> None:
        """Read the trailers of the commits that refs reach and no earlier look did: fetched ones, or all after a loss."""
        self._is_complete = True
        objects = self._repo.objects
        objects.refresh()
        tips = sorted({oid for name, oid in self._repo.refs.iter_refs() if name.startswith(_OWN)})
        stamp = sha256(b"".join(tips)).hexdigest()
        seen = (
            self._read_lines("images-seen") if self._known() else []
        )  # what was seen is of no use without what was found
        if stamp in seen[:1]:
            return
        known = [oid for word in seen[1:] if _is_oid(word) and objects.contains(oid := bytes.fromhex(word))]
        starts = [oid for oid in tips if objects.contains(oid) and objects.read(oid)[0] == "commit"]
        found = []
        for oid in iter_commits(objects, starts, known):
            chain_id = read_trailer(parse_commit(objects.read(oid)[1]).message, CHAIN_TRAILER)
            if chain_id is not None and is_digest(text := chain_id.decode("ascii", "replace")):
                found.append((text, oid))
        self.add(reversed(found))
        text = "\n".join([stamp, *(oid.hex() for oid in starts)]) + "\n"
        with suppress(StorageError):
            self._prepare()
            path = self._repo.path(_FOLDER, "images-seen")
            storage.write_file(path, text.encode(), step="image-index", durable=False)

    def _read_lines(self, name: str) -> list[str]:
        try:
            with open(os.open(self._repo.path(_FOLDER, name), FILE_FLAGS), "rb") as file:
                return file.read(_MOST_BYTES).decode("ascii", "replace").splitlines()
        except OSError:
            return []

    def _prepare(self) -> None:
        storage.make_directory(self._repo.path(_FOLDER), step="build-folder", parents=True)


def _is_oid(word: str) -> bool:
    return len(word) == 40 and _HEX.issuperset(word)

"""Which commits are layers of images: what this repository has itself read from images, in `build/read-layers`.

Lines of three words, appended: chain id, SHA-256 of the root, commit id. A commit that is not there is not believed whatever it
says of itself: clones and fetches bring commits of others, and anybody can write any chain id into one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from envgit.errors import EnvgitError, StorageError
from envgit.image_commits.chain import Chain
from envgit.layers.inode import FILE_FLAGS
from envgit.layers.sources.image_source import is_digest
from envgit.model import DirectoryRef
from envgit.repo import Repository
from envgit.snapshot import CHAIN_TRAILER, read_config_bytes, read_snapshot, read_trailer
from envgit.store import storage

FOLDER: Final = "build"
INDEX: Final = "read-layers"
_MOST_BYTES: Final = 64 * 1024 * 1024
_HEX: Final = frozenset("0123456789abcdef")


class _Layer(NamedTuple):
    root_sha256: bytes
    commit: bytes


class KnownLayers:
    """Finds the tree of a chain of layers. One per command."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._layers: dict[str, list[_Layer]] | None = None

    def find_prefix(self, chain_ids: Sequence[str]) -> tuple[DirectoryRef, ...]:
        """Return the trees of as many layers, from the lowest on, as were read here and still are."""
        found: list[DirectoryRef] = []
        for chain_id in chain_ids:
            layers = self._known().get(chain_id, ())
            root = next((root for each in reversed(layers) if (root := self._read(each, chain_id)) is not None), None)
            if root is None:
                break
            found.append(root)
        return tuple(found)

    def add(self, chain_ids: Sequence[str], chain: Chain) -> None:
        """Note the commits of an image that was read here; `chain_ids`: of its layers, none for an image without layers."""
        known = self._known()
        lines = []
        for chain_id, root, oid in zip(chain_ids, chain.roots, chain.commits, strict=False):
            layers, layer = known.setdefault(chain_id, []), _Layer(root.sha256, oid)
            if layer not in layers:
                layers.append(layer)
                lines.append(f"{chain_id} {root.sha256.hex()} {oid.hex()}\n")
        if lines:
            with suppress(StorageError):  # it is a cache: what cannot be written is read from the image again
                storage.make_directory(self._repo.path(FOLDER), step="build-folder", parents=True)
                storage.append(self._repo.path(FOLDER, INDEX), "".join(lines).encode(), step="image-index")

    def _read(self, layer: _Layer, chain_id: str) -> DirectoryRef | None:
        """Return the tree of a commit if it is what was read, and has the files and configuration that it says."""
        try:
            snapshot = read_snapshot(self._repo.objects, layer.commit)
            if read_trailer(snapshot.commit.message, CHAIN_TRAILER) != chain_id.encode():
                return None
            if snapshot.root.sha256 != layer.root_sha256:
                return None
            self._repo.reader.read_directory(snapshot.root)
            read_config_bytes(self._repo.objects, snapshot)
        except EnvgitError:  # gc dropped it, or it is damaged
            return None
        return snapshot.root

    def _known(self) -> dict[str, list[_Layer]]:
        if self._layers is None:
            self._layers = {}
            for line in self._read_lines():
                chain_id, _, rest = line.partition(" ")
                root, _, oid = rest.partition(" ")
                if is_digest(chain_id) and _is_hex(root, 64) and _is_hex(oid, 40):  # else a line that was cut off
                    layer = _Layer(bytes.fromhex(root), bytes.fromhex(oid))
                    self._layers.setdefault(chain_id, []).append(layer)
        return self._layers

    def _read_lines(self) -> list[str]:
        try:
            with open(os.open(self._repo.path(FOLDER, INDEX), FILE_FLAGS), "rb") as file:
                return file.read(_MOST_BYTES).decode("ascii", "replace").splitlines()
        except OSError:
            return []


def _is_hex(word: str, length: int) -> bool:
    return len(word) == length and _HEX.issuperset(word)

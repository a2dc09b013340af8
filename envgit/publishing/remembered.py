"""What pushes remember, in `build/`: `made-layers`, `pushed-blobs` (where they are), `pushed-images` (what commits are there).

All of it may be deleted at any time.

Lines of words, appended; a line that is damaged is as good as none. What they say of a registry is asked again before it counts.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

from envgit.errors import StorageError
from envgit.publishing.compression import LayerCompression
from envgit.publishing.image import PlannedLayer
from envgit.publishing.layer_blob import BlobId
from envgit.repo import Repository
from envgit.store import storage

FOLDER: Final = "build"
_MOST_BYTES: Final = 4 * 1024 * 1024
_DIGEST: Final = "(sha256:[0-9a-f]{64})"
_LAYER: Final = re.compile(rf"([0-9a-f]{{64}}|-) ([0-9a-f]{{64}}) (gzip|zstd|none) {_DIGEST} {_DIGEST} ([0-9]{{1,15}})")
_IMAGE: Final = re.compile(rf"([0-9a-f]{{40}}) ([!-~]{{1,600}}) {_DIGEST}")
_PLACE: Final = re.compile(rf"([!-.0-~]{{1,300}})/([!-~]{{1,300}}) {_DIGEST}")


class MadeLayers:
    """Which layer an edge between two trees became, by the SHA-256 of the trees."""

    def __init__(self, repo: Repository) -> None:
        self._path = repo.path(FOLDER, "made-layers")
        self._known: dict[tuple[str, str, str], BlobId] = {}
        for line in _read_lines(self._path):
            if match := _LAYER.fullmatch(line):
                self._known[match[1], match[2], match[3]] = BlobId(match[4], match[5], int(match[6]))

    def find(self, layer: PlannedLayer, compression: LayerCompression) -> BlobId | None:
        return self._known.get(_key(layer, compression))

    def add(self, layer: PlannedLayer, compression: LayerCompression, made: BlobId) -> None:
        key = _key(layer, compression)
        if self._known.get(key) != made:
            self._known[key] = made
            _append(self._path, f"{' '.join(key)} {made.diff_id} {made.digest} {made.size}\n")


class PushedBlobs:
    """In which repositories of registries blobs were seen."""

    def __init__(self, repo: Repository) -> None:
        self._path = repo.path(FOLDER, "pushed-blobs")
        self._places: dict[tuple[str, str], list[str]] = {}
        for line in _read_lines(self._path):
            if match := _PLACE.fullmatch(line):
                self._note(match[1], match[2], match[3])

    def find(self, host: str, digest: str) -> list[str]:
        """Return the repositories of the registry `host` that had the blob, the last first."""
        return self._places.get((host, digest), [])[::-1]

    def add(self, host: str, path: str, digests: list[str]) -> None:
        new = [digest for digest in digests if self._note(host, path, digest)]
        if new:
            _append(self._path, "".join(f"{host}/{path} {digest}\n" for digest in new))

    def _note(self, host: str, path: str, digest: str) -> bool:
        places = self._places.setdefault((host, digest), [])
        if path in places:
            return False
        places.append(path)
        return True


class PushedImages:
    """Which commits were pushed as which images."""

    def __init__(self, repo: Repository) -> None:
        self._path = repo.path(FOLDER, "pushed-images")

    def find(self, oid: bytes, reference: str = "") -> tuple[str, str] | None:
        """Return the HOST/PATH:TAG and the digest that a commit was pushed as the last time (`reference`: there)."""
        for line in reversed(_read_lines(self._path)):
            match = _IMAGE.fullmatch(line)
            if match and match[1] == oid.hex() and reference in ("", match[2]):
                return match[2], match[3]
        return None

    def has(self, oid: bytes, digest: str) -> bool:
        """Say whether a commit was ever pushed as the image of this digest."""
        return any(
            match[1] == oid.hex() and match[3] == digest
            for match in map(_IMAGE.fullmatch, _read_lines(self._path))
            if match
        )

    def add(self, oid: bytes, reference: str, digest: str) -> None:
        if self.find(oid) != (reference, digest):
            _append(self._path, f"{oid.hex()} {reference} {digest}\n")


def _key(layer: PlannedLayer, compression: LayerCompression) -> tuple[str, str, str]:
    return (layer.old.root.sha256.hex() if layer.old else "-", layer.new.root.sha256.hex(), compression)


def _read_lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            return file.read(2 * _MOST_BYTES).decode("ascii", "replace").splitlines()
    except OSError:
        return []


def _append(path: str, text: str) -> None:
    """Append lines; what has grown too long loses its older half. Where that cannot be, the next push does more."""
    with suppress(StorageError):
        _rewrite_or_append(path, text)


def _rewrite_or_append(path: str, text: str) -> None:
    storage.make_directory(path.rpartition("/")[0], step="publishing-folder")
    lines = _read_lines(path)
    if sum(map(len, lines)) > _MOST_BYTES:
        kept = "".join(f"{line}\n" for line in lines[len(lines) // 2 :])
        storage.write_file(path, (kept + text).encode(), step="publishing-memory", durable=False)
    else:
        storage.append(path, text.encode(), step="publishing-memory")

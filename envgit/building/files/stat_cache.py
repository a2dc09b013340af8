"""SHA-256 of files that did not change, kept between builds as git keeps its index: by device, inode, size and times.

Disposable: without it files are read again. A file whose status changed so recently that one more write might not show in its
times is never kept (racy-safe).
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from hashlib import sha256

from envgit.building.files.kept_file import read_kept
from envgit.errors import StorageError
from envgit.store import storage

_MAGIC = b"envgit build inputs 1\n"
_KEY = struct.Struct("<QQqqq")
_FILE = struct.Struct("40s32s")
_TREE = struct.Struct("32s32s")
_COUNTS = struct.Struct("<QQ")
_KEPT_UNUSED = 50_000
_TICK_NS = 20_000_000
"""Longer than a tick of the kernel's clock, which gives files their times (10 ms at worst)."""
_COARSE_NS = 2_000_000_000
"""Times in whole seconds come from filesystems that have no finer ones; FAT has even seconds only."""


class StatCache:
    """The cache in the file `path` (None: in memory only). Damage, absence and failing writes are all the same: it is empty."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._files: dict[bytes, bytes] = {}
        self._trees: dict[bytes, bytes] = {}
        self._used: dict[bytes, bytes] = {}
        self._changed = False
        self._now_ns = 0
        self._loaded = (0, 0)
        if path is not None:
            with suppress(OSError):
                self._load(path)
            with suppress(OSError, StorageError):
                self._now_ns = _filesystem_time(path)

    def find(self, status: os.stat_result) -> bytes | None:
        """Return the SHA-256 of the file with this status; None: not known."""
        key = _KEY.pack(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        digest = self._files.get(key)
        if digest is not None:
            self._used[key] = digest
        return digest

    def note(self, status: os.stat_result, digest: bytes) -> None:
        """Keep the SHA-256 of a file that had this status before it was read and after."""
        latest = max(status.st_ctime_ns, status.st_mtime_ns)
        slack = _TICK_NS if status.st_ctime_ns % 1_000_000_000 else _COARSE_NS
        if latest + slack < self._now_ns:
            key = _KEY.pack(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            self._files[key] = self._used[key] = digest
            self._changed = True

    def find_tree(self, key: bytes) -> bytes | None:
        """Return what `note_tree` was told for a key of 32 bytes."""
        return self._trees.get(key)

    def note_tree(self, key: bytes, digest: bytes) -> None:
        """Keep a digest that depends on nothing but its key."""
        self._trees[key] = digest
        self._changed = True

    def save(self) -> None:
        """Write what was learnt, atomically; entries that were of no use go when there are many."""
        if self._path is None or not self._changed:
            return
        with suppress(OSError):
            if (
                self._version(self._path) != self._loaded
            ):  # another build, or another folder of this one, saved meanwhile
                mine = self._files, self._trees
                self._load(self._path)
                self._files, self._trees = self._files | mine[0], self._trees | mine[1]
        files = self._files if len(self._files) <= len(self._used) + _KEPT_UNUSED else self._used
        trees = dict(list(self._trees.items())[-_KEPT_UNUSED:])
        body = b"".join(
            [
                _COUNTS.pack(len(files), len(trees)),
                *(key + digest for key, digest in files.items()),
                *(key + digest for key, digest in trees.items()),
            ]
        )
        with suppress(StorageError):
            storage.write_file(self._path, _MAGIC + _checksum(body) + body, step="build-inputs", durable=False)
        self._changed = False

    @staticmethod
    def _version(path: str) -> tuple[int, int]:
        status = os.lstat(path)
        return status.st_ino, status.st_mtime_ns

    def _load(self, path: str) -> None:
        self._loaded = self._version(path)
        data = read_kept(path)
        start = len(_MAGIC) + 8
        body = data[start:]
        if not data.startswith(_MAGIC) or data[len(_MAGIC) : start] != _checksum(body) or len(body) < _COUNTS.size:
            return
        files, trees = _COUNTS.unpack_from(body)
        middle = _COUNTS.size + files * _FILE.size
        if len(body) == middle + trees * _TREE.size:
            self._files = dict(_FILE.iter_unpack(body[_COUNTS.size : middle]))
            self._trees = dict(_TREE.iter_unpack(body[middle:]))


def _checksum(body: bytes) -> bytes:
    return sha256(body).digest()[:8]


def _filesystem_time(path: str) -> int:
    """Return the time that a file made now gets. Files are hashed later than this, so those that are clearly older are safe."""
    folder = os.path.dirname(path)
    storage.make_directory(folder, step="build-inputs", parents=True)
    name = storage.temporary_name(folder)
    fd = storage.open_new(name, step="build-inputs")
    try:
        return os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)
        storage.discard(name)

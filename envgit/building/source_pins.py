"""What sources stood for when they were last looked at: `build/pins` of the repository, a cache of lines `NAME-HASH VALUE`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256

from envgit.building.build_index import FOLDER
from envgit.building.files.kept_file import read_kept
from envgit.errors import SourceError, StorageError
from envgit.repo import Repository
from envgit.store import storage

_RACY_NS = 2_000_000_000


class SourcePins:
    """Remembers values (bytes) by name; what cannot be written is only asked for again."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo

    def pin(self, name: str, ask: Callable[[], bytes], *, default: bytes | None, pull: bool) -> bytes:
        """Return what `name` was pinned to, else `default`, else (and with `pull` always) what `ask` says now."""
        if not pull:
            known = self._read().get(_hash(name), default)
            if known is not None:
                return known
        value = ask()
        self._write(_hash(name), value)
        return value

    def of_file(self, path: str, ask: Callable[[], bytes]) -> bytes:
        """Return what `ask` said about a file when it had the size, inode and times that it has now."""
        try:
            status = os.stat(path)
        except OSError as error:
            raise SourceError(f"cannot open {path}: {error.strerror}", hint="check the path") from error
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        name = _hash(f"{os.path.abspath(path)} {state}")
        known = self._read().get(name)
        if known is None:
            known = ask()
            if status.st_ctime_ns < self._repo.now() * 1_000_000_000 - _RACY_NS:  # else it may change within one tick
                self._write(name, known)
        return known

    def _read(self) -> dict[str, bytes]:
        pins = {}
        with suppress(OSError, ValueError):
            for line in read_kept(self._repo.path(FOLDER, "pins")).decode("ascii").splitlines():
                name, _, value = line.strip().partition(" ")
                pins[name] = bytes.fromhex(value)
        return pins

    def _write(self, name: str, value: bytes) -> None:
        pins = {**self._read(), name: value}
        text = "".join(f"{each} {pinned.hex()}\n" for each, pinned in pins.items())
        with suppress(OSError, StorageError):
            storage.make_directory(self._repo.path(FOLDER), step="build-folder", parents=True)
            storage.write_file(self._repo.path(FOLDER, "pins"), text.encode(), step="build-pins", durable=False)


def _hash(name: str) -> str:
    return sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]

"""The packs that a user's repositories share."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from envgit.errors import EnvgitError, StorageError
from envgit.sharing.linking import KEEP_TEXT, link_pack
from envgit.sharing.place import open_place
from envgit.store import storage
from envgit.store.object_store import ObjectStore
from envgit.store.pack_writer import TEMPORARY_PACK

LEAST_BYTES = 1 << 20
"""A pack below this is not shared: it would cost more names than it saves."""


class SharedPacks:
    """Packs in the folder of place.py. Every one was verified by who put it there: it had just written it, or checked it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.pack_folder = folder + "/objects/pack"

    @classmethod
    def open_(cls, git_dir: str, environ: Mapping[str, str]) -> SharedPacks | None:
        """Return what the repository `git_dir` may share; None: nothing (switched off, another filesystem, not private)."""
        folder = open_place(git_dir, environ)
        if folder is None:
            return None
        shared = cls(folder)
        return shared if can_link(shared.pack_folder, git_dir + "/objects/pack") else None

    def objects(self) -> ObjectStore:
        """Return a reader of all shared packs, as they are now."""
        return ObjectStore(self.folder)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep gc from dropping packs meanwhile. Raises StorageError."""
        fd = open_lock(self.folder)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            yield
        finally:
            os.close(fd)

    def offer(self, objects_dir: str, name: str) -> bool:
        """Share a verified pack (`pack-...`) of a repository; say whether it is. A smaller one than LEAST_BYTES is not.

        Afterwards a `.keep` beside it says to git's gc and to ours that it is to stay as it is. Never fails: then it is not
        shared.
        """
        path = f"{objects_dir}/pack/{name}"
        try:
            if os.stat(path + ".pack").st_size < LEAST_BYTES:
                return False
            with self.in_use():
                link_pack(path, self.pack_folder, copy=False)
                self.touch(name)
            if not os.path.lexists(path + ".keep"):
                storage.write_file(path + ".keep", KEEP_TEXT, step="share-keep", durable=False, mode=0o444)
        except (OSError, EnvgitError):
            return False
        return True

    def touch(self, name: str) -> None:
        """Note that a pack is used now."""
        with suppress(OSError):
            os.close(os.open(f"{self.folder}/used/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.utime(f"{self.folder}/used/{name}")


def offer_packs(git_dir: str, environ: Mapping[str, str], names: tuple[str, ...]) -> int:
    """Share packs that a repository has just got and verified, such as fetched ones; return how many are shared."""
    shared = SharedPacks.open_(git_dir, environ) if names else None
    return 0 if shared is None else sum(shared.offer(git_dir + "/objects", name) for name in names)


def open_lock(folder: str) -> int:
    """Open the lock file of a shared folder. Raises StorageError."""
    path = folder + "/lock"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        storage.fail("open", path, error)


def can_link(source: str, target: str) -> bool:
    """Say whether files of one folder can be files of another without their bytes twice: tried with an empty one."""
    name, other = storage.temporary_name(source, TEMPORARY_PACK), storage.temporary_name(target, TEMPORARY_PACK)
    try:
        fd = storage.open_new(name, step="share-try")
    except StorageError:
        return False
    try:
        with suppress(StorageError):
            return storage.link(name, other, step="share-try-link")
        return _can_clone(fd, other)
    finally:
        os.close(fd)
        storage.discard(name)
        storage.discard(other)


def _can_clone(fd: int, target: str) -> bool:
    from envgit.sharing.copying import clone

    try:
        os.write(fd, bytes(4096))
        copy = storage.open_new(target, step="share-try-clone")
    except (OSError, StorageError):
        return False
    try:
        return clone(fd, copy)
    finally:
        os.close(copy)

"""Refs as files, read and changed the way git does (refs/files-backend.c), with its lock files.

Names are full ref names (str, surrogateescape for bytes outside UTF-8); ids are 20 bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

from envgit.errors import Conflict, CorruptObject, InvalidName, RefMoved, RepositoryBusy, StorageError
from envgit.light_typing import NamedTuple
from envgit.store import storage
from envgit.store.packed_refs import PackedRefs
from envgit.store.ref_names import check_branch_name as check_branch_name
from envgit.store.ref_names import check_ref_name as check_ref_name
from envgit.store.ref_names import check_tag_name as check_tag_name
from envgit.store.ref_names import is_ref_name

_MAX_SYMBOLIC = 5
_LOCK_WAIT_SECONDS = 1.0
_PAUSE_SECONDS = 0.01
DELETION = b"envgit: deleting\n"
"""Content of the lock of a ref that is deleted, and of packed-refs.lock: never becomes a ref."""


class Head(NamedTuple):
    """What HEAD is: `symbolic` the branch's full name or None when detached; `oid` None on an unborn branch."""

    symbolic: str | None
    oid: bytes | None


class RefLock:
    """A held `<ref>.lock`. `commit()` puts the new value in place; `release()` gives up."""

    def __init__(self, path: str, commit: Callable[[], None]) -> None:
        self.path = path
        self._commit = commit
        self._done = False

    def commit(self) -> None:
        """Move the ref, durably."""
        self._commit()
        self._done = True

    def release(self) -> None:
        """Remove the lock unless committed."""
        if not self._done:
            storage.unlink(self.path, step="ref-lock-release")
            self._done = True


class RefStore:
    """The refs of one repository. Reading takes no lock; a writer compares and swaps under git's own lock files."""

    def __init__(self, git_dir: str, warn: Callable[[str], object] | None = None) -> None:
        self.git_dir = git_dir
        self._packed = PackedRefs(git_dir)
        self._warn = warn
        self._warned: set[str] = set()

    def warn_once(self, message: str) -> None:
        """Say what whoever names a ref should know."""
        if self._warn is not None and message not in self._warned:
            self._warned.add(message)
            self._warn(message)

    def _read_loose(self, name: str) -> str | bytes | None:
        """Return a ref's own file: the name it points to, or an oid; None without file."""
        try:
            with open(f"{self.git_dir}/{name}", "rb") as file:
                content = file.read(4096)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        except OSError as error:
            storage.fail("read", f"{self.git_dir}/{name}", error)
        text = content.rstrip()
        if text.startswith(b"ref:"):
            return os.fsdecode(text[4:].lstrip())
        try:
            if len(text) < 40 or text[40:41].strip():
                raise ValueError
            return bytes.fromhex(text[:40].decode("ascii"))
        except ValueError:
            hint = "its reflog under logs/ has its earlier values; envgit branch -D (or tag -d) removes it"
            raise CorruptObject(f"ref {name} is damaged: {content[:60]!r}", hint=hint) from None

    def read_head(self) -> Head:
        """Return what HEAD is; raises CorruptObject without a readable HEAD."""
        value = self._read_loose("HEAD")
        if value is None:
            raise CorruptObject("the repository has no HEAD")
        if isinstance(value, str):
            if not is_ref_name(value):
                raise CorruptObject(
                    f"HEAD names {value!r}, which is no ref", hint="git symbolic-ref HEAD refs/heads/main"
                )
            return Head(value, self.resolve(value))
        return Head(None, value)

    def resolve(self, name: str) -> bytes | None:
        """Return the oid of a full ref name, through symbolic refs; None when there is no such ref."""
        for _ in range(_MAX_SYMBOLIC):
            if not is_ref_name(name):
                return None
            value = self._read_loose(name)
            if value is None:
                return self._packed.read().get(name)
            if isinstance(value, bytes):
                return value
            name = value
        raise CorruptObject(f"ref {name} is symbolic without end")

    def iter_refs(
        self, prefix: str = "refs/", *, on_damage: Callable[[CorruptObject], None] | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """Yield (full name, oid) of the refs below a prefix, sorted; symbolic ones resolved, dangling ones left out.

        A damaged ref raises CorruptObject, or is given to `on_damage` and left out.
        """
        names = {name for name in self._packed.read() if name.startswith(prefix)}
        names.update(name for name in self._iter_loose(prefix.rpartition("/")[0]) if name.startswith(prefix))
        for name in sorted(names):
            try:
                oid = self.resolve(name)
            except CorruptObject as error:
                if on_damage is None:
                    raise
                on_damage(error)
                continue
            if oid is not None:
                yield name, oid

    def remove_damaged(self, name: str) -> bool:
        """Remove the file of a ref that cannot be read; False when it can. Called under the repository's lock."""
        try:
            self.resolve(name)
        except CorruptObject:
            return storage.unlink(f"{self.git_dir}/{name}", step="ref-remove-damaged")
        return False

    def _iter_loose(self, folder: str) -> Iterator[str]:
        try:
            entries = list(os.scandir(f"{self.git_dir}/{folder}"))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            name = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from self._iter_loose(name)
            elif is_ref_name(name):
                yield name

    def check_available(self, name: str, ignoring: frozenset[str] = frozenset()) -> None:
        """Raise InvalidName or Conflict when a ref cannot be created: a bad name, or `a` beside `a/b`.

        `ignoring` names refs that the same change deletes.
        """
        check_ref_name(name)
        parts = name.split("/")
        for count in range(3, len(parts)):
            above = "/".join(parts[:count])
            if above not in ignoring and self.resolve(above) is not None:
                raise Conflict(f"cannot create {name}: {above} exists", hint="choose another name or rename the other")
        for below, _ in self.iter_refs(name + "/"):
            if below not in ignoring:
                raise Conflict(f"cannot create {name}: {below} exists", hint="choose another name or rename the other")

    def lock(self, name: str, new: bytes | None, expected: bytes | None) -> RefLock:
        """Take git's lock of a ref in order to move it from `expected` to `new` (None: absent).

        Raises RefMoved when it is elsewhere, RepositoryBusy when stock git keeps the lock.
        """
        check_ref_name(name)
        content = DELETION if new is None else new.hex().encode() + b"\n"
        path = self._take(name, content)
        commit = (lambda: self._delete(name, path)) if new is None else (lambda: self._move(name, path))
        held = RefLock(path, commit)
        try:
            current = self.resolve(name)
            if current != expected:
                raise RefMoved(f"{name} was moved by another command (git?) meanwhile", hint="run the command again")
        except BaseException:
            held.release()
            raise
        return held

    def lock_head(self, target: str | bytes, expected: str | bytes) -> RefLock:
        """Take HEAD.lock in order to point HEAD at a branch (full name) or a commit (20 bytes)."""
        path = self._take("HEAD", head_content(target))
        held = RefLock(path, lambda: self._move("HEAD", path))
        try:
            if self._read_loose("HEAD") != expected:
                raise RefMoved("HEAD was moved by another command (git?) meanwhile", hint="run the command again")
        except BaseException:
            held.release()
            raise
        return held

    def update(self, name: str, new: bytes | None, expected: bytes | None) -> None:
        """Move one ref by compare-and-swap, durably; see lock() for the errors. Writes no reflog."""
        if new == expected:
            if self.resolve(name) != expected:
                raise RefMoved(f"{name} was moved by another command meanwhile", hint="run the command again")
            return
        held = self.lock(name, new, expected)
        try:
            held.commit()
        finally:
            held.release()

    def _take(self, name: str, content: bytes) -> str:
        """Create `<name>.lock` with its content at once: a killed process leaves it whole, so recovery knows it."""
        path = f"{self.git_dir}/{name}.lock"
        folder = path.rpartition("/")[0]
        temporary = storage.temporary_name(self.git_dir, "tmp_ref_")
        fd = storage.open_new(temporary, step="ref-create", mode=0o644)
        try:
            try:
                storage.write_all(fd, content, step="ref-write", path=temporary)
                if content is not DELETION:
                    storage.sync_fd(fd, step="ref-sync", path=temporary)
            finally:
                os.close(fd)
            deadline = time.monotonic() + _LOCK_WAIT_SECONDS
            while True:
                try:
                    storage.make_directory(folder, step="ref-folder", parents=True, mode=0o755)
                except StorageError as error:
                    if isinstance(error.__cause__, NotADirectoryError | None):
                        raise Conflict(f"cannot create {name}: a part of its name is a ref itself") from None
                    raise
                try:
                    if storage.link(temporary, path, step="ref-lock"):
                        return path
                except StorageError as error:
                    if not isinstance(error.__cause__, FileNotFoundError):  # a folder pruned by another process
                        raise
                if time.monotonic() > deadline:
                    raise RepositoryBusy(
                        f"{path} is held by a git command", hint="wait for it; remove the file if no git runs"
                    )
                time.sleep(_PAUSE_SECONDS)
        finally:
            storage.discard(temporary)

    def _move(self, name: str, lock_path: str) -> None:
        path = f"{self.git_dir}/{name}"
        if os.path.isdir(path):
            self._prune_below(path)
        storage.rename(lock_path, path, step="ref-rename")
        storage.sync_directory(os.path.dirname(path), step="ref-folder-sync")

    def make_way(self, name: str) -> None:
        """Move the value of a ref that is about to be deleted into packed-refs: `a` as a file hides `a/b.lock`.

        The caller holds the ref's lock. Killed at any step, the ref has the value it had. Raises Conflict for a symbolic ref.
        """
        value = self._read_loose(name)
        if value is None:
            return
        if isinstance(value, str):
            raise Conflict(f"{name} is a symbolic ref; nothing below it can be created")
        packed_lock = self._take("packed-refs", DELETION)
        try:
            self._packed.write_with(name, value)
        finally:
            storage.unlink(packed_lock, step="packed-refs-unlock")
        path = f"{self.git_dir}/{name}"
        storage.unlink(path, step="ref-make-way")
        storage.sync_directory(os.path.dirname(path), step="ref-folder-sync")

    def _delete(self, name: str, lock_path: str) -> None:
        """Packed first, then loose: in between the ref still has its newest value (as git does)."""
        if name in self._packed.read():
            packed_lock = self._take("packed-refs", DELETION)
            try:
                self._packed.write_without(name)
            finally:
                storage.unlink(packed_lock, step="packed-refs-unlock")
        path = f"{self.git_dir}/{name}"
        folder = os.path.dirname(path)
        if not os.path.isdir(path) and storage.unlink(path, step="ref-unlink"):
            storage.sync_directory(folder, step="ref-folder-sync")
        self.forget(name, lock_path)

    def forget(self, name: str, lock_path: str | None = None) -> None:
        """Remove what a deleted ref leaves: its reflog, then its lock, and folders that it alone needed. Safe to repeat."""
        log = f"{self.git_dir}/logs/{name}"
        self.remove_reflog(name)
        if lock_path is not None:
            storage.unlink(lock_path, step="ref-unlock")
        for path in (f"{self.git_dir}/{name}", log):
            self._prune_above(os.path.dirname(path))

    def remove_reflog(self, name: str) -> None:
        """Remove a ref's reflog, not what has its place since: those of refs below the name, or that of one above."""
        log = f"{self.git_dir}/logs/{name}"
        if os.path.lexists(log) and not os.path.isdir(log):
            storage.unlink(log, step="reflog-unlink")

    def _prune_above(self, folder: str) -> None:
        """Remove folders that a deletion emptied, up to refs/heads and its like."""
        while len(folder[len(self.git_dir) :].replace("/logs/", "/", 1).split("/")) > 3:
            if not storage.remove_directory(folder, step="ref-prune"):
                return
            folder = folder.rpartition("/")[0]

    def _prune_below(self, path: str) -> None:
        """Remove a tree of empty folders that is in the way of a ref's file."""
        for entry in list(os.scandir(path)):
            if entry.is_dir(follow_symlinks=False):
                self._prune_below(entry.path)
        storage.remove_directory(path, step="ref-prune")

    def remove_stale_lock(self, name: str, content: bytes) -> bool:
        """Remove `<name>.lock` left by a killed envgit: only if it holds exactly what that envgit wrote."""
        if name not in ("HEAD", "packed-refs") and not is_ref_name(name):
            raise InvalidName(f"{name!r} is not a ref name")
        path = f"{self.git_dir}/{name}.lock"
        try:
            with open(path, "rb") as file:
                if file.read(4096) != content:
                    return False
        except (FileNotFoundError, NotADirectoryError):
            return False
        return storage.unlink(path, step="recover-unlock")


def head_content(target: str | bytes) -> bytes:
    """Return the content of HEAD for a branch's full name or a commit."""
    if isinstance(target, bytes):
        return target.hex().encode() + b"\n"
    return b"ref: " + os.fsencode(check_ref_name(target)) + b"\n"

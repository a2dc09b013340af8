"""History that is cut short: git's file `shallow` (gitrepository-layout(5), and "Shallow" in gitprotocol-pack(5)).

It lists commits whose parents were not fetched. Whoever walks history takes them for first commits; the commits themselves stay as
they are, so their ids and signatures hold. What is listed there and not in the store, or reached by nothing, does no harm.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Protocol

from envgit.errors import Conflict, CorruptObject, InvalidName, RepositoryBusy
from envgit.store import storage
from envgit.store.oid import parse_oid

NAME = "shallow"
GET_MORE = "older commits, where the remote has them: envgit fetch --unshallow"
"""The hint of whoever meets the end of what is here."""
_NEW = "shallow.envgit"
_MAX_BYTES = 64 << 20
"""1.6 million commits."""


class _Store(Protocol):
    def shallow(self) -> frozenset[bytes]: ...


class ShallowFile:
    """Reads the file again only when it was replaced: git and envgit always rename a new one into place."""

    def __init__(self, git_dir: str) -> None:
        self._path = f"{git_dir}/{NAME}"
        self._stamp: tuple[int, int, int] | None = None
        self._commits: frozenset[bytes] = frozenset()

    def read(self) -> frozenset[bytes]:
        """Return the commits that are listed; raises CorruptObject for anything but a list of ids, StorageError."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._stamp, self._commits = None, frozenset()
            return self._commits
        except OSError as error:
            storage.fail("read", self._path, error)
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._commits = _parse(self._path)
            self._stamp = stamp
        return self._commits


def read_shallow(git_dir: str) -> frozenset[bytes]:
    """Return the commits of a repository whose parents are not there. Raises CorruptObject, StorageError."""
    return ShallowFile(git_dir).read()


def visible_parents(objects: _Store, oid: bytes, parents: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Return the parents of a commit as far as history goes here."""
    return () if parents and oid in objects.shallow() else parents


def check_rewritable(objects: _Store, oid: bytes, what: str) -> None:
    """Raise Conflict when a commit with the parents of `oid` could not be made, because they are not here."""
    if oid in objects.shallow():
        raise Conflict(
            f"cannot {what} {oid.hex()[:12]}: history is cut short there, its parents are not here",
            hint=f"a commit on top of it can be made; {GET_MORE}",
        )


def plan_shallow(
    current: Collection[bytes], before: Collection[bytes], after: Collection[bytes], complete: Collection[bytes] = ()
) -> frozenset[bytes]:
    """Return what the file must list when a transfer that began with `before` ended with `after`, and the file is now `current`.

    `complete`: commits whose history is here. They are not cut: a shallow fetch never takes history away.
    """
    added = frozenset(after) - frozenset(before) - frozenset(complete)
    return (frozenset(current) - (frozenset(before) - frozenset(after))) | added


def write_shallow(git_dir: str, commits: Iterable[bytes]) -> None:
    """Replace the file durably and at once, under the repository's lock; without commits remove it.

    Listing more before refs move, and fewer after the packs are in place, is harmless at every moment between. Git's own lock
    (shallow.lock) is taken as well: a second name of our new file, so that one left by a killed envgit is known. Raises
    RepositoryBusy when git holds it, StorageError.
    """
    path, lock, new = (f"{git_dir}/{name}" for name in (NAME, NAME + ".lock", _NEW))
    lines = b"".join(sorted(b"%b\n" % oid.hex().encode() for oid in set(commits)))
    recover_shallow(git_dir)
    storage.write_file(new, lines, step="shallow", mode=0o644)
    if not storage.link(new, lock, step="shallow-lock"):
        storage.discard(new)
        hint = f"wait for the git that works here; if there is none, a killed one left it: rm {lock}"
        raise RepositoryBusy(f"git is writing {path}: {lock} exists", hint=hint)
    if lines:
        storage.rename(new, path, step="shallow-replace")
    else:
        storage.unlink(path, step="shallow-remove")
    storage.unlink(lock, step="shallow-unlock")
    storage.unlink(new, step="shallow-tidy")
    storage.sync_directory(git_dir, step="shallow-folder")


def recover_shallow(git_dir: str) -> None:
    """Remove what a killed write_shallow() left, under the repository's lock: never git's own lock."""
    path, lock, new = (f"{git_dir}/{name}" for name in (NAME, NAME + ".lock", _NEW))
    if _is_same(lock, path) or _is_same(lock, new):
        storage.unlink(lock, step="shallow-recover")
    if os.path.lexists(new):
        storage.unlink(new, step="shallow-recover-new")


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _parse(path: str) -> frozenset[bytes]:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        storage.fail("read", path, error)
    hint = "it lists commits whose parents were not fetched, one id a line; a clone has another"
    if len(data) > _MAX_BYTES:
        raise CorruptObject(f"{path} is larger than {_MAX_BYTES} bytes", hint=hint)
    found = set()
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), 1):
        try:
            found.add(parse_oid(line.decode("ascii", "replace")))
        except InvalidName:
            raise CorruptObject(f"{path} is damaged: line {number} is not the id of a commit", hint=hint) from None
    return frozenset(found)

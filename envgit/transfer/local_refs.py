"""Move refs of a bare repository that only git knows, all of them or none, under git's own locks.

Such a repository has no operation log, so what is about to be locked is written down first (INTENT): when this process is
killed, the next push removes the locks that it left. Pushes of envgit to one repository wait for each other (flock(2) on its
folder).
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from envgit.errors import RepositoryBusy
from envgit.store import storage
from envgit.store.objects import ZERO_OID, Signature
from envgit.store.operations import RefChange, escape_word, make_operation, unescape_word
from envgit.store.recovery import release_locks, take_locks
from envgit.store.reflog import ReflogEntry, append_entry
from envgit.store.refs import DELETION, RefStore

INTENT: Final = "envgit-push"
"""File in the other repository: one line for each ref that is locked, `NAME NEW`; gone when the push is."""
_WAIT_SECONDS = 10.0
_PAUSE_SECONDS = 0.01
_DELETED = b"-"
_TEMPORARY = re.compile(r"tmp_((pack|idx|ref)_)?[0-9]+_[0-9]+_[0-9a-f]{8}\Z")
"""As storage.temporary_name makes them: git's own have no such names."""


@contextmanager
def pushing_to(refs: RefStore) -> Iterator[None]:
    """Be the one envgit that pushes to a repository, and clean up after a killed one. Raises RepositoryBusy, StorageError."""
    fd = os.open(refs.git_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _wait(fd, refs.git_dir)
        _recover(refs)
        yield
    finally:
        os.close(fd)


def _wait(fd: int, git_dir: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise RepositoryBusy(f"another envgit is pushing to {git_dir}", hint="wait until it ends") from None
            time.sleep(_PAUSE_SECONDS)
        except OSError as error:
            storage.fail("lock", git_dir, error)


def move_refs(refs: RefStore, changes: Sequence[RefChange], who: Signature | None, message: bytes) -> None:
    """Carry out `changes`; the caller is in pushing_to(). Nothing is moved when one value is not the old one any more.

    `who` None writes no reflog.

    Raises RefMoved, Conflict, RepositoryBusy, StorageError.
    """
    git_dir = refs.git_dir
    deleted = frozenset(name for name, _, new in changes if new is None)
    for name, old, new in changes:
        if old is None and new is not None:
            refs.check_available(name, deleted)
    lines = [b"%b %b\n" % (escape_word(name), new.hex().encode() if new else _DELETED) for name, _, new in changes]
    storage.write_file(f"{git_dir}/{INTENT}", b"".join(lines), step="push-intent", durable=False)
    try:
        locks = take_locks(refs, make_operation(0, (0, ""), (), None, changes, ()))
        try:
            for held in locks:
                held.commit()
        finally:
            release_locks(locks)
    finally:
        storage.unlink(f"{git_dir}/{INTENT}", step="push-intent-unlink")
    for name, old, new in changes:
        if who is not None and new is not None and os.path.isfile(f"{git_dir}/logs/{name}"):
            append_entry(git_dir, name, ReflogEntry(old or ZERO_OID, new, who, message))


def _recover(refs: RefStore) -> None:
    git_dir = refs.git_dir
    try:
        with open(f"{git_dir}/{INTENT}", "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        word, _, new = line.partition(b" ")
        with suppress(ValueError):
            refs.remove_stale_lock(unescape_word(word), DELETION if new == _DELETED else new + b"\n")
    if lines:
        refs.remove_stale_lock("packed-refs", DELETION)
        storage.unlink(f"{git_dir}/{INTENT}", step="push-recover")
    for folder in (git_dir, git_dir + "/objects/pack"):
        for name in os.listdir(folder):
            if _TEMPORARY.match(name):
                storage.unlink(f"{folder}/{name}", step="push-recover-temporary")

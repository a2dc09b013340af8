"""Upper directories: where uncommitted changes and running sandboxes meet (docs/format.md section 8)."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress

from envgit.errors import Conflict, StorageError
from envgit.light_typing import TYPE_CHECKING, NamedTuple
from envgit.repo import Repository
from envgit.store import storage
from envgit.worktree import Pointer

if TYPE_CHECKING:
    from envgit.transaction import Transaction

_PROBE_SECONDS = 0.02
"""Much longer than is_mounted() holds the lock."""


class Upper(NamedTuple):
    """An upper directory, its overlayfs work directory and the file whose flock(2) says that it is mounted."""

    id: str
    upper: str
    work: str
    lock: str


def upper_paths(repo: Repository, id: str) -> Upper:
    """Return where the parts of an upper directory are."""
    folder = repo.path("uppers", id)
    return Upper(id, f"{folder}/upper", f"{folder}/work", f"{folder}/lock")


def create_upper(repo: Repository, top_layer: str | None = None) -> Upper:
    """Make a new, empty upper directory over a stack whose top layer is the directory `top_layer`.

    The upper directory is the root directory that programs see: it gets the attributes of the layer's. An upper directory
    that no pointer names any more is `gc`'s to remove.
    """
    storage.make_directory(repo.path("uppers"), step="uppers-folder", parents=True)
    while True:
        found = upper_paths(repo, os.urandom(6).hex())
        if storage.make_directory(os.path.dirname(found.upper), step="upper-create"):
            break
    for path in (found.upper, found.work):
        storage.make_directory(path, step="upper-create", mode=0o755)
        if repo.disk_ids.shift:
            os.chown(path, repo.disk_ids.to_disk(0), repo.disk_ids.to_disk(0))
    if top_layer is not None:
        copy_root_attributes(repo, top_layer, found.upper)
    storage.reach("upper-lock")
    os.close(os.open(found.lock, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    folder = os.path.dirname(found.upper)
    for path in (folder, os.path.dirname(folder)):  # before a pointer names it
        storage.sync_directory(path, step="upper-folder-sync")
    return found


def copy_root_attributes(repo: Repository, source: str, target: str) -> None:
    """Do copy_directory_attributes() as this user where that is enough, else where ids are plain."""
    try:
        copy_directory_attributes(source, target)
    except PermissionError:  # the root directory belongs to another of the environment's users
        from envgit.stack import run_where_ids_are_plain

        run_where_ids_are_plain(repo, lambda: copy_directory_attributes(source, target))


def copy_directory_attributes(source: str, target: str) -> None:
    """Give one directory the owner, mode, times and attributes (but overlayfs's) of another."""
    status = os.stat(source)
    if status.st_uid != os.geteuid() or status.st_gid != os.getegid():
        os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)
    for name in os.listxattr(source):
        if not name.startswith(("user.overlay.", "trusted.overlay.", "security.selinux")):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))


def lock_upper(upper: Upper, *, exclusive: bool, wait: bool = False) -> int | None:
    """Return a descriptor that holds the lock until closed, or None when another is in the way and `wait` is off."""
    try:
        fd = os.open(upper.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"{upper.lock}: {error.strerror}", hint="envgit fsck") from error
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def wait_for_upper(upper: Upper) -> None:
    """Wait until no command has taken the upper directory away for the moment; it may be gone for good all the same."""
    with suppress(StorageError):
        fd = lock_upper(upper, exclusive=False, wait=True)
        assert fd is not None
        os.close(fd)


def claim_upper(repo: Repository, transaction: Transaction, pointer: Pointer | None) -> bool:
    """Keep sandboxes out of a worktree's upper directory until the transaction ends; False when one is running there."""
    if pointer is None or pointer.upper is None:
        return True
    upper = upper_paths(repo, pointer.upper)
    if not os.path.exists(upper.lock):  # damaged: nothing can have mounted it
        return True
    fd = lock_upper(upper, exclusive=True)
    if fd is None:
        time.sleep(_PROBE_SECONDS)
        fd = lock_upper(upper, exclusive=True)
    if fd is None:
        return False
    transaction.hold(fd)
    return True


def claim_worktree(repo: Repository, transaction: Transaction, pointer: Pointer | None) -> None:
    """As claim_upper(), for a transaction that takes the upper directory away from the branch.

    Raises Conflict when a sandbox is running there: what it writes from then on would belong to nobody.
    """
    if not claim_upper(repo, transaction, pointer):
        raise Conflict(
            "a sandbox is running in this worktree", hint="let it end (or kill it), then type the command again"
        )


def has_changes(repo: Repository, pointer: Pointer | None, tip: bytes | None) -> bool:
    """Say whether a worktree may differ from its branch's tip: cheap, and never wrongly no."""
    if pointer is None:
        return False
    if pointer.base != tip:
        return True
    if pointer.upper is None:
        return False
    try:
        with os.scandir(upper_paths(repo, pointer.upper).upper) as found:
            return next(found, None) is not None
    except OSError:
        return True


def is_mounted(upper: Upper) -> bool:
    """Say whether a running sandbox has the upper directory mounted; one that was never finished is not."""
    if not os.path.exists(upper.lock):
        return False
    fd = lock_upper(upper, exclusive=True)
    if fd is None:
        return True
    os.close(fd)
    return False


def open_upper(upper: Upper) -> int:
    """Return a descriptor of the upper directory."""
    try:
        return os.open(upper.upper, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(
            f"the uncommitted changes in {upper.upper} cannot be opened: {error.strerror}", hint="envgit fsck"
        ) from error

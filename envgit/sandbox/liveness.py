"""Whether a sandbox's monitor lives: it holds a record lock (fcntl(2)) on `sandboxes/ID/lock`, which the kernel lets go with it.

Not flock(2): that lock would live on in any helper process that was forked with the descriptor. No pid is compared. Byte 0 belongs
to the monitor; byte 1 to whoever works on a sandbox that has none (rm, cp), and to a monitor until it has byte 0.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time

from envgit.repo import Repository
from envgit.store import storage

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock on 64-bit Linux: type, whence, start, length, pid."""

_MONITOR, _WORK = 0, 1
_BUSY_SECONDS = 2.0
_PAUSE_SECONDS = 0.02

_own: set[str] = set()
"""The locks of this process as a monitor: looking at one of these would open its file, and closing it would let go."""


def hold_sandbox(repo: Repository, id: str) -> int | None:
    """Keep monitors away until the descriptor is closed; None when there is one, another works on it, or the sandbox is gone.

    The process must open the file no second time meanwhile: closing any descriptor of it lets go.
    """
    fd = _open_to_hold(repo, id)
    if fd is not None and _take(fd, _WORK) and not _holder(fd, _MONITOR) and _is_there(repo, id, fd):
        return fd
    if fd is not None:
        os.close(fd)
    return None


def become_monitor(repo: Repository, id: str) -> int | None:
    """Take the monitor's lock for this process, which ends soon after it closes the descriptor; None as hold_sandbox().

    Who works on the sandbox shortly is waited for. Raises StorageError.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    while (fd := hold_sandbox(repo, id)) is None:
        if monitor_pid(repo, id) or time.monotonic() > deadline or not os.path.exists(_path(repo, id)):
            return None
        time.sleep(_PAUSE_SECONDS)
    if not _take(fd, _MONITOR):
        os.close(fd)
        return None
    fcntl.lockf(fd, fcntl.LOCK_UN, 1, _WORK)
    _own.add(_path(repo, id))
    return fd


def monitor_pid(repo: Repository, id: str) -> int:
    """Return the pid of the sandbox's monitor; 0 when there is none. Negative for one in another pid namespace.

    Raises StorageError when that cannot be found out: a sandbox that runs must not be taken for a dead one.
    """
    if _path(repo, id) in _own:
        return os.getpid()
    try:
        fd = os.open(_path(repo, id), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)  # F_GETLK needs no right to write
    except FileNotFoundError:
        return 0
    except OSError as error:
        storage.fail("open", _path(repo, id), error)
    try:
        return _holder(fd, _MONITOR)
    finally:
        os.close(fd)


def _path(repo: Repository, id: str) -> str:
    return repo.path("sandboxes", id, "lock")


def _open_to_hold(repo: Repository, id: str) -> int | None:
    """Return the lock, made where it is missing; None when the sandbox is gone. Raises StorageError for all else."""
    try:
        return os.open(_path(repo, id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        return None
    except OSError as error:
        storage.fail("open", _path(repo, id), error)


def _take(fd: int, byte: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        return True
    except OSError:
        return False


def _holder(fd: int, byte: int) -> int:
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else int(pid) or -1


def _is_there(repo: Repository, id: str, fd: int) -> bool:
    """Say whether the locked file is still the sandbox's: it may have been removed between the two calls."""
    try:
        return os.path.samestat(os.stat(_path(repo, id)), os.fstat(fd))
    except OSError:
        return False

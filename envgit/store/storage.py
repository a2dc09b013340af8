"""The one module that changes the repository's folder.

Every function names its step and passes `reach(step)` before it acts, so a test can kill, fail or pause the
process at each of them; every OSError becomes a StorageError that names path and reason. Nothing here retries a
failed fsync: after EIO the kernel may have dropped the pages, so the caller must start again from its source.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from envgit.errors import StorageError
from envgit.light_typing import NoReturn

FaultHook = Callable[[str], None]

_hook: FaultHook | None = None
_counter = 0

_HINTS = {
    errno.ENOSPC: "free some space and run the command again; nothing acknowledged was lost",
    errno.EDQUOT: "the disk quota is used up; free some space and run the command again",
    errno.EROFS: "the filesystem is mounted read-only",
    errno.EACCES: "check owner and permissions of the repository's folder",
    errno.EPERM: "check owner and permissions of the repository's folder",
    errno.EIO: "the disk may be failing: copy the repository to another one, then run 'envgit fsck'",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def set_fault_hook(hook: FaultHook | None) -> None:
    """Install a callable that gets the name of each step before it is done; it may kill, raise OSError or sleep."""
    global _hook
    _hook = hook


def reach(step: str) -> None:
    """Announce a step to the fault hook."""
    if _hook is not None:
        _hook(step)


def fail(action: str, path: str, error: OSError) -> NoReturn:
    """Raise the StorageError for an OSError."""
    reason = error.strerror or str(error)
    raise StorageError(f"cannot {action} {path}: {reason}", hint=_HINTS.get(error.errno or 0)) from error


def temporary_name(folder: str, prefix: str = "tmp_") -> str:
    """Return a path in `folder` that no other process or thread uses."""
    global _counter
    _counter += 1
    return f"{folder}/{prefix}{os.getpid()}_{_counter}_{os.urandom(4).hex()}"


def open_new(path: str, *, step: str, mode: int = 0o600) -> int:
    """Create a file that must not exist and return its descriptor, open for reading and writing."""
    try:
        reach(step)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        fail("create", path, error)


def write_all(
    fd: int, data: bytes | bytearray | memoryview, *, step: str, path: str, offset: int | None = None
) -> None:
    """Write all of `data` at the descriptor's position, or at `offset`."""
    try:
        reach(step)
        view = memoryview(data)
        while view:
            if offset is None:
                written = os.write(fd, view)
            else:
                written = os.pwrite(fd, view, offset)
                offset += written
            view = view[written:]
    except OSError as error:
        fail("write", path, error)


def sync_fd(fd: int, *, step: str, path: str) -> None:
    """Make an open file durable. Raises StorageError; the file must then be considered lost."""
    try:
        reach(step)
        os.fsync(fd)
    except OSError as error:
        fail("make durable", path, error)


def sync_directory(path: str, *, step: str) -> None:
    """Make the names in a directory durable."""
    try:
        reach(step)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        fail("make durable", path, error)


def write_file(
    path: str,
    data: bytes,
    *,
    step: str,
    exclusive: bool = False,
    durable: bool = True,
    mode: int = 0o600,
    scratch: str | None = None,
) -> bool:
    """Put a whole file in place at once: a temporary file beside it, fsync, rename, fsync of the folder.

    A reader sees the old content or the new, never a part. With `exclusive` an existing file is left alone and
    False returned. Without `durable` nothing is synced. `scratch`: another folder of the same
    file system for the temporary file. Steps: STEP, STEP-write, STEP-sync, STEP-rename, STEP-folder.
    """
    folder = os.path.dirname(path)
    temporary = temporary_name(scratch or folder)
    fd = open_new(temporary, step=step, mode=mode)
    try:
        try:
            write_all(fd, data, step=step + "-write", path=temporary)
            if durable:
                sync_fd(fd, step=step + "-sync", path=temporary)
        finally:
            os.close(fd)
        if exclusive:
            created = link(temporary, path, step=step + "-rename")
            discard(temporary)
            if not created:
                return False
        else:
            rename(temporary, path, step=step + "-rename")
    except BaseException:
        discard(temporary)
        raise
    if durable:
        sync_directory(folder, step=step + "-folder")
    return True


def append(path: str, data: bytes, *, step: str, durable: bool = False, mode: int = 0o600) -> None:
    """Append to a file with one write (atomic against other appenders); creates it."""
    try:
        reach(step)
        # Nothing that somebody put in the file's place is followed or waited for.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(path, flags, mode)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        fail("append to", path, error)


def truncate(fd: int, size: int, *, step: str, path: str) -> None:
    """Cut an open file back to its first `size` bytes."""
    try:
        reach(step)
        os.ftruncate(fd, size)
    except OSError as error:
        fail("shorten", path, error)


def rename(source: str, target: str, *, step: str) -> None:
    """Rename, replacing `target` at once."""
    try:
        reach(step)
        os.rename(source, target)
    except OSError as error:
        fail("rename to", target, error)


def link(source: str, target: str, *, step: str) -> bool:
    """Give a file a second name; False when `target` exists."""
    try:
        reach(step)
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        fail("create", target, error)
    return True


def unlink(path: str, *, step: str) -> bool:
    """Remove a file; False when there was none."""
    try:
        reach(step)
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        fail("remove", path, error)
    return True


def discard(path: str) -> None:
    """Remove a temporary file while another error is on its way; what cannot be removed, recovery removes."""
    try:
        os.unlink(path)
    except OSError:
        return


def make_directory(path: str, *, step: str, mode: int = 0o700, parents: bool = False, durable: bool = False) -> bool:
    """Create a directory; False when it exists. With `parents` also the missing ones above; the umask applies."""
    try:
        reach(step)
        os.mkdir(path, mode)
    except FileExistsError:
        if os.path.isdir(path):
            return False
        raise StorageError(f"cannot create folder {path}: there is something else of that name") from None
    except FileNotFoundError as error:
        if not parents:
            fail("create folder", path, error)
        make_directory(os.path.dirname(path), step=step, mode=mode, parents=True, durable=durable)
        return make_directory(path, step=step, mode=mode, parents=True, durable=durable)
    except OSError as error:
        fail("create folder", path, error)
    if durable:
        sync_directory(os.path.dirname(path), step=step + "-folder")
    return True


def remove_directory(path: str, *, step: str) -> bool:
    """Remove an empty directory; False when it is absent or not empty."""
    try:
        reach(step)
        os.rmdir(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EBUSY):
            return False
        fail("remove folder", path, error)
    return True

"""Copy a whole file into a folder, durably: on the same blocks where the filesystem can (reflink), else its bytes."""

from __future__ import annotations

import fcntl
import os
from typing import Literal

from envgit.store import storage

_FICLONE = 0x40049409
_PIECE_BYTES = 1 << 24


def copy_file(
    fd: int, target: str, size: int, *, prefix: str, step: str, clone_only: bool = False, mode: int = 0o444
) -> Literal["cloned", "copied"] | None:
    """Copy the open file to `target`, which appears at once and replaces what is there. Raises StorageError.

    `prefix` of the temporary name, flocked while its writer lives (see pack_writer.remove_leftovers). None: `clone_only`,
    and the filesystem cannot. Steps: STEP, STEP-write, STEP-sync, STEP-rename; the folder is left to the caller.
    """
    temporary = storage.temporary_name(os.path.dirname(target), prefix)
    copy = storage.open_new(temporary, step=step, mode=mode)
    try:
        fcntl.flock(copy, fcntl.LOCK_EX)
        cloned = clone(fd, copy)
        if not cloned:
            if clone_only:
                storage.discard(temporary)
                return None
            _fill(fd, copy, size, temporary, step + "-write")
        storage.sync_fd(copy, step=step + "-sync", path=temporary)
        storage.rename(temporary, target, step=step + "-rename")
    except BaseException:
        storage.discard(temporary)
        raise
    finally:
        os.close(copy)
    return "cloned" if cloned else "copied"


def clone(fd: int, copy: int) -> bool:
    """Make an empty open file the same blocks as another one; False: another filesystem, or one that cannot."""
    try:
        fcntl.ioctl(copy, _FICLONE, fd)
    except OSError:
        return False
    return True


def _fill(fd: int, copy: int, size: int, path: str, step: str) -> None:
    try:
        storage.reach(step)
        offset = 0
        while offset < size:
            count = os.sendfile(copy, fd, offset, min(_PIECE_BYTES, size - offset))
            if not count:
                raise OSError(5, "the source is shorter than it was")
            offset += count
    except OSError as error:
        storage.fail("write", path, error)

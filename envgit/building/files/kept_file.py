"""Files of caches: whatever else is in the place of one (a FIFO, a folder, a link, a device) counts as absent."""

from __future__ import annotations

import errno
import os
import stat

from envgit.layers.inode import FILE_FLAGS

MOST_BYTES = 256 << 20


def open_kept(path: str) -> int:
    """Open a regular file for reading, without waiting and without following a link. Raises OSError, for all else as well."""
    fd = os.open(path, FILE_FLAGS)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return fd


def read_kept(path: str, most_bytes: int = MOST_BYTES) -> bytes:
    """Return the bytes of a regular file. Raises OSError, also for one that has more than `most_bytes`."""
    with os.fdopen(open_kept(path), "rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return data

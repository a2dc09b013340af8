"""What arrives of a blob is also kept in a file, so that another command goes on where this one was interrupted."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress

from envgit.registry.client import BlobStream


class KeptBlob:
    """The bytes of a blob: first those that `path` has, then the rest, which is added to it.

    Nothing here is verified: whoever reads the stream does that, and calls `forget` if it is wrong. A file that cannot be
    used, written, or that another command is writing, is done without.
    """

    def __init__(self, path: str, size: int, open_rest: Callable[[int], BlobStream]) -> None:
        self._path = path
        self._open_rest = open_rest
        self._rest: BlobStream | None = None
        self._position = 0
        self._kept = 0
        self._fd = _open(path)
        if self._fd >= 0:
            self._kept = os.fstat(self._fd).st_size
            if self._kept > size:
                os.ftruncate(self._fd, 0)
                self._kept = 0

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end. Raises SourceError."""
        if self._position < self._kept:
            with suppress(OSError):
                data = os.pread(self._fd, min(size, self._kept - self._position), self._position)
                if data:
                    self._position += len(data)
                    return data
            self._let_go()
        if self._rest is None:
            self._rest = self._open_rest(self._position)
        data = self._rest.read(size)
        if data and self._fd >= 0:
            try:
                _write_all(self._fd, data, self._position)
            except OSError:  # the disk is full: the store says so, if it comes to that
                self.forget()
        self._position += len(data)
        return data

    def forget(self) -> None:
        """Remove the file."""
        if self._fd >= 0:
            remove_kept(self._path)
            self._let_go()

    def close(self) -> None:
        """Keep the file."""
        if self._rest is not None:
            self._rest.close()
            self._rest = None
        self._let_go()

    def _let_go(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def remove_kept(path: str) -> None:
    """Remove what a KeptBlob left; nothing there is fine."""
    with suppress(OSError):
        os.unlink(path)


def _open(path: str) -> int:
    """Open or make the file for this process alone; -1 when that cannot be."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        fd = os.open(path, flags, 0o600)
    except OSError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            return fd
    except OSError:
        pass
    os.close(fd)
    return -1


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written

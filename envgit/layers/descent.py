"""Walk down and up a directory tree by descriptors, at any depth, with few of them open.

Nothing below the root is ever resolved by a path: each step opens one name, without following links. Deeper than
`KEPT` levels the oldest descriptors are closed; on the way up they are opened again through "..", and it is checked
that this is the directory that was left.
"""

from __future__ import annotations

import os

from envgit.errors import HostileInput, StorageError

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
KEPT = 48


class Descent:
    """A stack of open directories; the root's descriptor stays the caller's.

    `deepest`: how many directories below the root may be entered; HostileInput is raised instead of one more.
    """

    __slots__ = ("_closed", "_deepest", "_fds", "_root_fd")

    def __init__(self, root_fd: int, deepest: int | None = None) -> None:
        self._root_fd = root_fd
        self._deepest = deepest
        self._fds = [root_fd]
        self._closed: dict[int, tuple[int, int]] = {}

    @property
    def fd(self) -> int:
        """The current directory."""
        return self._fds[-1]

    @property
    def depth(self) -> int:
        return len(self._fds) - 1

    def enter(self, name: bytes) -> int:
        """Open the directory `name` in the current one and make it current. Raises OSError, HostileInput."""
        if self._deepest is not None and len(self._fds) > self._deepest:
            shown = ascii(name.decode("utf-8", "surrogateescape"))
            raise HostileInput(
                f"{shown} lies below {self._deepest:,} directories; an environment cannot be deeper",
                hint="remove the directories that were made in each other without end",
            )
        fd = os.open(name, DIRECTORY_FLAGS, dir_fd=self._fds[-1])
        self._fds.append(fd)
        oldest = len(self._fds) - KEPT
        if oldest > 0 and self._fds[oldest] >= 0:
            status = os.fstat(self._fds[oldest])
            self._closed[oldest] = (status.st_dev, status.st_ino)
            os.close(self._fds[oldest])
            self._fds[oldest] = -1
        return fd

    def leave(self) -> int:
        """Make the parent current again. Raises StorageError when it is not the parent any more."""
        fd = self._fds.pop()
        try:
            level = len(self._fds) - 1
            if self._fds[level] < 0:
                parent = os.open(b"..", DIRECTORY_FLAGS, dir_fd=fd)
                self._fds[level] = parent
                status = os.fstat(parent)
                if self._closed.pop(level) != (status.st_dev, status.st_ino):
                    raise StorageError("a directory was moved while it was being read")
        finally:
            os.close(fd)
        return self._fds[-1]

    def close(self) -> None:
        """Close everything but the root; safe to call twice."""
        for fd in self._fds[1:]:
            if fd >= 0:
                os.close(fd)
        self._fds = [self._root_fd]
        self._closed.clear()


def open_beneath(root_fd: int, path: bytes, flags: int = DIRECTORY_FLAGS) -> int:
    """Open `path` below `root_fd` component by component, following no link; b"" opens the root anew.

    `flags` are for the last component; O_NOFOLLOW and O_CLOEXEC are added. Raises OSError.
    """
    fd = os.open(b".", DIRECTORY_FLAGS, dir_fd=root_fd)
    if not path:
        return fd
    *parents, last = path.split(b"/")
    try:
        for name in parents:
            below = os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
            os.close(fd)
            fd = below
        return os.open(last, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    finally:
        os.close(fd)

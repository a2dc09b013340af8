"""Remove a directory tree of any depth, by descriptors, without following anything."""

from __future__ import annotations

import os

from envgit.layers.descent import Descent


def remove_tree(name: bytes, dir_fd: int) -> None:
    """Remove `name` in `dir_fd` and all below it; nothing there is fine. Raises OSError."""
    try:
        os.unlink(name, dir_fd=dir_fd)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        pass
    descent = Descent(dir_fd)
    try:
        path = [name]
        pending = [_empty(descent.enter(name))]
        while path:
            if pending[-1]:
                below = pending[-1].pop()
                path.append(below)
                pending.append(_empty(descent.enter(below)))
                continue
            pending.pop()
            os.rmdir(path.pop(), dir_fd=descent.leave())
    finally:
        descent.close()


def _empty(fd: int) -> list[bytes]:
    """Unlink all but directories in the open directory; return the directories."""
    if os.fstat(fd).st_mode & 0o700 != 0o700:
        os.fchmod(fd, 0o700)
    directories = []
    with os.scandir(fd) as found:
        listing = list(found)
    for item in listing:
        name = os.fsencode(item.name)
        if item.is_dir(follow_symlinks=False):
            directories.append(name)
        else:
            os.unlink(name, dir_fd=fd)
    return directories

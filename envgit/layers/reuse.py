"""Hard-link files out of layers that are there already instead of writing them again."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from envgit.layers.descent import open_beneath
from envgit.layers.whiteout import opacity
from envgit.model import DiskIds, Entry

_COUNTED = (b"etc/", b"var/spool/")
"""Below these, programs look how many links their files have: cron(8) ignores a table that has two."""


class Reuse:
    """The open layers of a stack, top first, that shows the tree being written.

    `enter` a directory, `link` its files, `leave`. An empty file is never linked: it costs nothing and would
    meet the filesystem's limit of links first. Nor is one below _COUNTED.
    """

    def __init__(self, root_fd: int, layers: Sequence[int], disk_ids: DiskIds) -> None:
        self.root_fd = root_fd
        self.linked = 0
        self._layers = layers
        self._to_disk = disk_ids.to_disk
        self._open: list[int] = []

    def all_layers(self) -> tuple[int, ...]:
        """The indices of all layers."""
        return tuple(range(len(self._layers)))

    def enter(self, path: bytes, layers: tuple[int, ...]) -> tuple[int, ...]:
        """Open the directory `path` (trailing slash) in each of `layers`; return those that matter below."""
        if path in _COUNTED:
            return ()
        found = []
        for index in layers:
            try:
                fd = open_beneath(self._layers[index], path.rstrip(b"/"))
            except FileNotFoundError:
                continue
            except OSError:
                break
            found.append(index)
            self._open.append(fd)
            if opacity(fd, os.listxattr(fd)) == "opaque":
                break
        return tuple(found)

    def leave(self) -> None:
        for fd in self._open:
            os.close(fd)
        self._open.clear()

    def link(self, entry: Entry, dir_fd: int) -> bool:
        """Link `entry` in `dir_fd` to the file that the stack shows there; False if it differs or cannot be linked."""
        if not entry.size:
            return False
        for fd in self._open:
            try:
                status = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if (
                not stat.S_ISREG(status.st_mode)
                or status.st_size != entry.size
                or status.st_mtime_ns != entry.mtime_ns
                or status.st_mode & 0o7777 != entry.mode
                or status.st_uid != self._to_disk(entry.uid)
                or status.st_gid != self._to_disk(entry.gid)
            ):
                return False
            try:
                os.link(entry.name, entry.name, src_dir_fd=fd, dst_dir_fd=dir_fd, follow_symlinks=False)
            except OSError:
                return False
            self.linked += 1
            return True
        return False

"""Read a whole directory from a disk into a tree.

Every entry costs one open (regular files, directories) or one lstat (the rest), one fstat, one listxattr and
the reading of its content. At most `descent.KEPT` directories are open at once.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from envgit.errors import SourceError
from envgit.layers.descent import Descent
from envgit.layers.inode import FILE_FLAGS, file_type, read_closed, read_open
from envgit.layers.metadata import sort_links
from envgit.layers.tree_limits import MAX_DEPTH
from envgit.layers.whiteout import is_whiteout
from envgit.model import Child, DirectoryRef, DiskIds, Entry, Links, TreeWriter
from envgit.monitor import Monitor, NullMonitor

ATTEMPTS = 3


class Scanned(NamedTuple):
    root: DirectoryRef
    links: Links
    entries: int
    """Everything but the root."""
    size: int
    """Bytes of all regular files; hard links count once."""
    skipped: tuple[tuple[bytes, str], ...]
    """(path, reason) of everything that is there and is not in the tree."""
    changed: tuple[bytes, ...]
    """Files that were written to while they were read: what is stored may be a mixture."""


class _Frame:
    __slots__ = ("children", "name", "own", "path", "pending")

    def __init__(self, name: bytes, path: bytes, own: Entry) -> None:
        self.name = name
        self.path = path
        self.own = own
        self.children: list[Child] = []
        self.pending: list[bytes] = []


class _Scan:
    def __init__(
        self,
        root_fd: int,
        writer: TreeWriter,
        disk_ids: DiskIds,
        one_filesystem: bool,
        monitor: Monitor,
        exclude: Callable[[bytes], bool] | None,
    ) -> None:
        self.descent = Descent(root_fd, MAX_DEPTH)
        self.writer = writer
        self.disk_ids = disk_ids
        self.one_filesystem = one_filesystem
        self.monitor = monitor
        self.exclude = exclude
        self.device = os.fstat(root_fd).st_dev
        self.inodes: dict[tuple[int, int], tuple[Child, list[bytes]]] = {}
        self.skipped: list[tuple[bytes, str]] = []
        self.changed: list[bytes] = []
        self.entries = 0
        self.size = 0

    def run(self) -> tuple[DirectoryRef, Links]:
        stack = [self.list_directory(b"", b"", self.descent.fd, os.fstat(self.descent.fd))]
        while True:
            frame = stack[-1]
            if frame.pending:
                below = self.enter(frame.pending.pop(), frame)
                if below is not None:
                    stack.append(below)
                continue
            stack.pop()
            if not stack:
                links = sort_links([paths for _, paths in self.inodes.values()])
                return self.writer.put_directory(frame.own, _by_name(frame.children), links), links
            ref = self.writer.put_directory(frame.own, _by_name(frame.children))
            stack[-1].children.append(Child(Entry(frame.name, "d", sha256=ref.sha256), ref))
            self.descent.leave()

    def enter(self, name: bytes, parent: _Frame) -> _Frame | None:
        path = parent.path + name
        try:
            fd = self.descent.enter(name)
        except OSError as error:
            self.skip(path, str(error.strerror))
            return None
        return self.list_directory(name, path + b"/", fd, os.fstat(fd))

    def list_directory(self, name: bytes, path: bytes, fd: int, status: os.stat_result) -> _Frame:
        """Read everything in the open directory but what is below its sub-directories."""
        frame = _Frame(name, path, read_open(b".", fd, status, self.disk_ids, None))
        if self.one_filesystem and status.st_dev != self.device:
            self.skip(path[:-1], "another filesystem is mounted there")
            return frame
        try:
            with os.scandir(fd) as found:
                listing = list(found)
        except OSError as error:
            self.skip(path[:-1], str(error.strerror))
            return frame
        exclude = self.exclude
        for found_entry in listing:
            child_name = os.fsencode(found_entry.name)
            if exclude is not None and exclude(path + child_name):
                continue
            self.entries += 1
            if found_entry.is_dir(follow_symlinks=False):
                frame.pending.append(child_name)
                continue
            try:
                if found_entry.is_file(follow_symlinks=False):
                    child = self.read_file(child_name, fd, path)
                else:
                    child = self.read_other(child_name, fd, path)
            except FileNotFoundError:
                child = None
                self.skip(path + child_name, "it vanished while the directory was read")
            except OSError as error:
                child = None
                self.skip(path + child_name, str(error.strerror))
            if child is None:
                self.entries -= 1
            else:
                frame.children.append(child)
        self.monitor.advance(len(frame.children))
        return frame

    def read_file(self, name: bytes, dir_fd: int, path: bytes) -> Child | None:
        fd = os.open(name, FILE_FLAGS, dir_fd=dir_fd)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                self.skip(path + name, "it was replaced while the directory was read")
                return None
            if before.st_nlink > 1:
                known = self.inodes.get((before.st_dev, before.st_ino))
                if known is not None:
                    return self.link(known, name, path)
            for _ in range(ATTEMPTS):
                stored = self.writer.put_open_file(fd, before.st_size, before.st_mode & 0o111 != 0)
                after = os.fstat(fd)
                if after.st_mtime_ns == before.st_mtime_ns and after.st_size == before.st_size == stored.size:
                    break
                before = after
                os.lseek(fd, 0, os.SEEK_SET)
            else:
                self.changed.append(path + name)
                self.monitor.warn(f"{_show(path + name)} was written to while it was read")
            entry = read_open(name, fd, after, self.disk_ids, None)
        finally:
            os.close(fd)
        self.size += stored.size
        child = Child(entry._replace(size=stored.size, sha256=stored.sha256), stored.content)
        if before.st_nlink > 1:
            self.inodes[(before.st_dev, before.st_ino)] = (child, [path + name])
        return child

    def read_other(self, name: bytes, dir_fd: int, path: bytes) -> Child | None:
        status = os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        kind = file_type(status)
        if kind is None:
            self.skip(path + name, "sockets are not stored")
            return None
        if is_whiteout(status):
            self.skip(path + name, "a character device 0:0 is an overlayfs whiteout, not content")
            return None
        if kind in "fd":
            self.skip(path + name, "it was replaced while the directory was read")
            return None
        if status.st_nlink > 1:
            known = self.inodes.get((status.st_dev, status.st_ino))
            if known is not None:
                return self.link(known, name, path)
        child = Child(read_closed(name, dir_fd, status, self.disk_ids, None), None)
        if status.st_nlink > 1:
            self.inodes[(status.st_dev, status.st_ino)] = (child, [path + name])
        return child

    def link(self, known: tuple[Child, list[bytes]], name: bytes, path: bytes) -> Child:
        """Return one more name of an inode that was read already: same entry, same content."""
        child, paths = known
        paths.append(path + name)
        return Child(child.entry._replace(name=name), child.content)

    def skip(self, path: bytes, reason: str) -> None:
        self.skipped.append((path, reason))
        self.monitor.warn(f"{_show(path)} was left out: {reason}")


def scan_directory(
    root_fd: int,
    writer: TreeWriter,
    disk_ids: DiskIds,
    *,
    one_filesystem: bool = True,
    monitor: Monitor | None = None,
    exclude: Callable[[bytes], bool] | None = None,
) -> Scanned:
    """Store everything below the open directory `root_fd`, which keeps belonging to the caller.

    Links are never followed. `exclude(path)`, path relative without leading slash, leaves a name and all below it out.
    With `one_filesystem` a mount point is stored as an empty directory and reported. Unreadable names and sockets
    are reported in `skipped`; a file that changes while it is read is read up to three times, then reported.
    Raises SourceError when the root cannot be listed, StorageError when directories are moved meanwhile.
    """
    scan = _Scan(root_fd, writer, disk_ids, one_filesystem, monitor or NullMonitor(), exclude)
    try:
        root, links = scan.run()
    finally:
        scan.descent.close()
    if scan.skipped and not scan.skipped[0][0]:
        raise SourceError(f"the directory cannot be read: {scan.skipped[0][1]}")
    return Scanned(root, links, scan.entries, scan.size, tuple(scan.skipped), tuple(scan.changed))


def _by_name(children: list[Child]) -> list[Child]:
    children.sort(key=_name)
    return children


def _name(child: Child) -> bytes:
    return child.entry.name


def _show(path: bytes) -> str:
    return ascii(path.decode("utf-8", "surrogateescape"))

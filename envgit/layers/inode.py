"""Read one name of a directory as an Entry, apart from content."""

from __future__ import annotations

import os
import stat

from envgit.layers.attributes import list_xattrs, list_xattrs_at, read_xattrs
from envgit.model import DiskIds, Entry, FileType

FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

_TYPES: dict[int, FileType] = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
}


def file_type(status: os.stat_result) -> FileType | None:
    """Return the format's type of an inode; None for a socket."""
    return _TYPES.get(stat.S_IFMT(status.st_mode))


def read_open(name: bytes, fd: int, status: os.stat_result, disk_ids: DiskIds, recorded: Entry | None) -> Entry:
    """Return the Entry of the open regular file or directory `fd` with this fstat; `sha256` is None.

    `recorded`: the Entry of the same type that this one may be a copy of; values that a disk cannot hold come from it.
    For a regular file `sparse` is found out, which moves the file offset.
    """
    names = list_xattrs(fd)
    before = recorded.xattrs if recorded is not None else ()
    xattrs = read_xattrs(fd, names, disk_ids, before) if names or before else ()
    uid, gid = _owner(status, disk_ids, recorded)
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        return Entry(name, "d", mode & 0o7777, uid, gid, status.st_mtime_ns, xattrs=xattrs)
    size = status.st_size
    return Entry(
        name,
        "f",
        mode & 0o7777,
        uid,
        gid,
        status.st_mtime_ns,
        size,
        sparse=size > 0 and has_hole(fd, size),
        xattrs=xattrs,
    )


def read_closed(name: bytes, dir_fd: int, status: os.stat_result, disk_ids: DiskIds, recorded: Entry | None) -> Entry:
    """Return the Entry of a symbolic link, FIFO or device node with this lstat. Raises OSError."""
    kind = file_type(status)
    assert kind is not None and kind not in "fd"
    path, names = list_xattrs_at(dir_fd, name)
    before = recorded.xattrs if recorded is not None else ()
    xattrs = read_xattrs(path, names, disk_ids, before) if names or before else ()
    uid, gid = _owner(status, disk_ids, recorded)
    if kind == "l":
        target = os.readlink(name, dir_fd=dir_fd)
        return Entry(name, "l", 0, uid, gid, status.st_mtime_ns, target=target, xattrs=xattrs)
    device = None if kind == "p" else (os.major(status.st_rdev), os.minor(status.st_rdev))
    return Entry(name, kind, status.st_mode & 0o7777, uid, gid, status.st_mtime_ns, device=device, xattrs=xattrs)


def has_hole(fd: int, size: int) -> bool:
    """Say whether an open file of `size` bytes has a hole before its end; moves the offset."""
    try:
        return os.lseek(fd, 0, os.SEEK_HOLE) < size
    except OSError:
        return False


def _owner(status: os.stat_result, disk_ids: DiskIds, recorded: Entry | None) -> tuple[int, int]:
    if recorded is None:
        return disk_ids.from_disk(status.st_uid), disk_ids.from_disk(status.st_gid)
    return disk_ids.from_disk(status.st_uid, recorded.uid), disk_ids.from_disk(status.st_gid, recorded.gid)

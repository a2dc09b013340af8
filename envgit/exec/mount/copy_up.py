"""Copy a directory of the environment into a new volume, inside the sandbox's user namespace, by descriptors only.

Both sides see the same ids, so owners are simply taken over. Sockets and device nodes are left out.
"""

from __future__ import annotations

import errno
import os
import stat

from envgit.exec import linux

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE_BYTES = 1 << 20
_ABSENT = (errno.ENOTSUP, errno.ENODATA, errno.EPERM)

NEW, COPYING, USED = b"new", b"copying", b"used"
"""What a volume's marker says."""

_Links = dict[tuple[int, int], bytes]
"""Where the first name of a file with several went: a path from the top of the volume."""


def fill_volume(source: int, target: int, marker: int) -> None:
    """Copy a directory into a volume that nothing has used yet, and note it in the marker file. Raises OSError.

    A copy that was cut short is recognised by its mark and begun again; a volume that somebody filled by hand is left alone.
    """
    source_fd = os.open(b".", _DIRECTORY, dir_fd=source)
    target_fd = os.open(b".", _DIRECTORY, dir_fd=target)
    try:
        state = os.pread(marker, 16, 0)
        if state.startswith(COPYING):
            _clear(target_fd)
        elif os.listdir(target_fd):
            state = USED
        if not state.startswith(USED):
            _mark(marker, COPYING)
            _copy(source_fd, target_fd, target_fd, b"", {})
            linux.sync_filesystem(target_fd)
        _mark(marker, USED)
    finally:
        os.close(source_fd)
        os.close(target_fd)


def _mark(marker: int, word: bytes) -> None:
    """Change the mark, durably: after a power cut it never says more, or less, than what is in the volume."""
    os.pwrite(marker, word + b"\n", 0)
    os.ftruncate(marker, len(word) + 1)
    os.fsync(marker)


def _clear(folder: int) -> None:
    for text in os.listdir(folder):
        name = os.fsencode(text)
        if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
            os.unlink(name, dir_fd=folder)
            continue
        below = os.open(name, _DIRECTORY, dir_fd=folder)
        try:
            _clear(below)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=folder)


def _copy(source: int, target: int, top: int, path: bytes, links: _Links) -> None:
    for text in os.listdir(source):
        name = os.fsencode(text)
        status = os.lstat(name, dir_fd=source)
        if stat.S_ISDIR(status.st_mode):
            _copy_folder(name, source, target, top, path, links)
            continue
        if stat.S_ISSOCK(status.st_mode) or stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            continue
        number = (status.st_dev, status.st_ino)
        if number in links:
            os.link(links[number], name, src_dir_fd=top, dst_dir_fd=target, follow_symlinks=False)
            continue
        _copy_one(name, status, source, target)
        if status.st_nlink > 1:
            links[number] = path + name
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    _copy_attributes(source, target)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_folder(name: bytes, source: int, target: int, top: int, path: bytes, links: _Links) -> None:
    below = os.open(name, _DIRECTORY, dir_fd=source)
    os.mkdir(name, 0o700, dir_fd=target)
    new = os.open(name, _DIRECTORY, dir_fd=target)
    try:
        _copy(below, new, top, path + name + b"/", links)
    finally:
        os.close(below)
        os.close(new)


def _copy_one(name: bytes, status: os.stat_result, source: int, target: int) -> None:
    """Copy a regular file, symbolic link or FIFO with its owner, mode and times."""
    if stat.S_ISREG(status.st_mode):
        _copy_file(name, source, target)
        return
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mkfifo(name, 0o600, dir_fd=target)
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if stat.S_ISFIFO(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


def _copy_file(name: bytes, source: int, target: int) -> None:
    old = os.open(name, _READ, dir_fd=source)
    new = -1
    try:
        status = os.fstat(old)
        new = os.open(name, _WRITE, 0o600, dir_fd=target)
        while piece := os.read(old, _PIECE_BYTES):
            while piece:
                piece = piece[os.write(new, piece) :]
        os.fchown(new, status.st_uid, status.st_gid)
        os.fchmod(new, stat.S_IMODE(status.st_mode))
        _copy_attributes(old, new)
        os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    finally:
        os.close(old)
        if new >= 0:
            os.close(new)


def _copy_attributes(old: int, new: int) -> None:
    """Copy the extended attributes that the volume's file system takes; file capabilities are of no use under nosuid."""
    for text in os.listxattr(old):
        if not text.startswith(("user.", "system.posix_acl_")) or text.startswith("user.overlay."):
            continue
        try:
            os.setxattr(new, text, os.getxattr(old, text))
        except OSError as error:
            if error.errno not in _ABSENT:
                raise

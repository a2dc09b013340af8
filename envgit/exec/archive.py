"""A tree as a tar stream, where every name is looked up in a descriptor and no link is followed on the way.

One end of `cp`; unpacking.py is the other. An end is given as a function from a path to an O_PATH descriptor: below a sandbox's
root, or the caller's own.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, NamedTuple

from envgit.errors import SandboxError
from envgit.exec.sparse import Extent, data_extents, format_map

OpenPath = Callable[[bytes], int]
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_KERNEL_FOLDERS = (b"/proc", b"/sys", b"/dev")
_PIECE_BYTES = 1 << 18
_OPEN_LEVELS = 64
"""Descriptors kept of the folders above; further up one is opened again by `..`: trees may be deeper than descriptors many."""


def open_host_path(path: bytes) -> int:
    """Return an O_PATH descriptor of a path of the caller's."""
    return os.open(path or b".", os.O_PATH | os.O_CLOEXEC)


def send_tree(open_path: OpenPath, path: bytes, fd: int, *, follow: bool = False) -> None:
    """Write what is at `path` as a tar archive to `fd`: named by its last component, or `.` when the path ends in `/.`.

    A link is sent as a link unless `follow`. Sockets and devices are left out, and what the kernel shows in /proc, /sys and
    /dev of a tree that contains them. Holes are sent as holes (GNU format 1.0 for sparse files). A file that shrinks meanwhile
    is filled up with zeros. Raises OSError, SandboxError when a deep folder is moved meanwhile.
    """
    kernel = _kernel_devices(open_path)
    top, name = _open_source(open_path, path, follow)
    kernel.discard(os.fstat(top).st_dev)
    with (
        os.fdopen(fd, "wb", closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive,
    ):
        _add_tree(archive, top, os.fsdecode(name), kernel)


def _open_source(open_path: OpenPath, path: bytes, follow: bool) -> tuple[int, bytes]:
    plain = path.rstrip(b"/")
    folder, name = os.path.split(plain)
    if name in (b"", b".", b".."):
        return open_path(path), b"."
    if follow or plain != path:
        return open_path(path), name
    parent = open_path(folder or (b"/" if path.startswith(b"/") else b"."))
    try:
        return os.open(name, _PATH, dir_fd=parent), name
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(parent)


def _kernel_devices(open_path: OpenPath) -> set[int]:
    devices = set()
    for path in _KERNEL_FOLDERS:
        with suppress(OSError):
            fd = open_path(path)
            devices.add(os.fstat(fd).st_dev)
            os.close(fd)
    return devices


class _Level(NamedTuple):
    """A folder on the way down. `fd`: -1 while it is closed."""

    fd: int
    identity: tuple[int, int]
    name: str
    rest: Iterator[str]


def _add_tree(archive: tarfile.TarFile, top: int, name: str, kernel: set[int]) -> None:
    """Add depth first; takes `top` over."""
    levels: list[_Level] = []
    fd: int | None = top
    while True:
        if fd is not None:
            names = _add(archive, fd, name, kernel)
            if names is None:
                os.close(fd)
            else:
                levels.append(_Level(fd, _identity(fd), name, names))
                if len(levels) > _OPEN_LEVELS:
                    far = levels[-_OPEN_LEVELS - 1]
                    if far.fd >= 0:
                        os.close(far.fd)
                        levels[-_OPEN_LEVELS - 1] = far._replace(fd=-1)
        if not levels:
            return
        level = levels[-1]
        child = next(level.rest, None)
        if child is None:
            levels.pop()
            if levels and levels[-1].fd < 0:
                levels[-1] = levels[-1]._replace(fd=_open_above(level.fd, levels[-1]))
            os.close(level.fd)
            fd = None
            continue
        name = f"{level.name}/{child}"
        try:
            fd = os.open(child, _PATH, dir_fd=level.fd)
        except FileNotFoundError:  # removed meanwhile
            fd = None


def _open_above(fd: int, above: _Level) -> int:
    """Return the folder above `fd`, which must be the one that was come from: a moved one could lead anywhere."""
    found = os.open("..", _PATH | os.O_DIRECTORY, dir_fd=fd)
    if _identity(found) != above.identity:
        os.close(found)
        raise SandboxError(f"{above.name} was moved while it was copied")
    return found


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _add(archive: tarfile.TarFile, fd: int, name: str, kernel: set[int]) -> Iterator[str] | None:
    """Add one entry; return the names in it when it is a directory."""
    status = os.fstat(fd)
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = status.st_uid, status.st_gid
    info.mtime = status.st_mtime_ns / 1e9  # PAX keeps fractions
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        return iter(() if status.st_dev in kernel else sorted(os.listdir(f"/proc/self/fd/{fd}")))
    if stat.S_ISLNK(status.st_mode):
        info.type = tarfile.SYMTYPE
        info.linkname = os.fsdecode(os.readlink(b"", dir_fd=fd))
        archive.addfile(info)
    elif stat.S_ISFIFO(status.st_mode):
        info.type = tarfile.FIFOTYPE
        archive.addfile(info)
    elif stat.S_ISREG(status.st_mode):
        with open(f"/proc/self/fd/{fd}", "rb", buffering=0) as file:
            _add_file(archive, info, file, status.st_size, status.st_blocks * 512)
    return None


def _add_file(archive: tarfile.TarFile, info: tarfile.TarInfo, file: IO[bytes], size: int, allocated: int) -> None:
    extents: tuple[Extent, ...] = ((0, size),)
    head = b""
    if allocated < size:
        extents = data_extents(file.fileno(), size)
        head = format_map(extents, size)
        info.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": info.name,
            "GNU.sparse.realsize": str(size),
        }
        info.name = "GNUSparseFile.0/file"  # short and ASCII: a header "path" would hide the real name
    info.size = len(head) + sum(length for _, length in extents)
    archive.addfile(info, _Content(head, file, extents))


class _Content:
    """Some bytes, then the given parts of a file; what the file has no more is zeros."""

    def __init__(self, head: bytes, file: IO[bytes], extents: tuple[Extent, ...]) -> None:
        self._head = head
        self._file = file
        self._extents = list(reversed(extents))

    def read(self, size: int = 0, /) -> bytes:
        data, self._head = self._head[:size], self._head[size:]
        while len(data) < size and self._extents:
            start, length = self._extents.pop()
            piece = os.pread(self._file.fileno(), min(size - len(data), length, _PIECE_BYTES), start)
            if piece:
                data += piece
                if length > len(piece):
                    self._extents.append((start + len(piece), length - len(piece)))
            else:
                missing = min(size - len(data), length)
                data += bytes(missing)
                if length > missing:
                    self._extents.append((start + missing, length - missing))
        return data

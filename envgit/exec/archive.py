"""A tree as a tar stream, and back, where every name is looked up in a descriptor and no link is followed on the way.

Both ends of `cp`. An end is given as a function from a path to an O_PATH descriptor: below a sandbox's root, or the caller's own.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, NamedTuple

from envgit.errors import SandboxError

OpenPath = Callable[[bytes], int]
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KERNEL_FOLDERS = (b"/proc", b"/sys", b"/dev")
_PIECE_BYTES = 1 << 18


class Receiving(NamedTuple):
    """How files are made. `owner`: keep ids, else they belong to whoever writes. `special`: keep setuid, setgid and sticky."""

    owner: bool = False
    special: bool = False


def open_host_path(path: bytes) -> int:
    """Return an O_PATH descriptor of a path of the caller's."""
    return os.open(path or b".", os.O_PATH | os.O_CLOEXEC)


def send_tree(open_path: OpenPath, path: bytes, fd: int, *, follow: bool = False) -> None:
    """Write what is at `path` as a tar archive to `fd`: named by its last component, or `.` when the path ends in `/.`.

    A link is sent as a link unless `follow`. Sockets and devices are left out, and what the kernel shows in /proc, /sys and
    /dev of a tree that contains them. A file that shrinks meanwhile is filled up with zeros. Raises OSError.
    """
    kernel = _kernel_devices(open_path)
    top, name = _open_source(open_path, path, follow)
    kernel.discard(os.fstat(top).st_dev)
    with (
        os.fdopen(fd, "wb", closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive,
    ):
        _add_tree(archive, top, os.fsdecode(name), kernel)


def receive_tree(open_path: OpenPath, path: bytes, fd: int, how: Receiving, *, foreign: bool = False) -> int:
    """Make what a tar archive on `fd` holds at `path`, as cp(1) does; return the number of entries.

    Into a directory that exists, else as the name `path`; `foreign` (any archive): always into a directory. Existing files are
    replaced, never written into; no link in the tree is followed. Raises OSError, SandboxError for an archive that would escape
    or is none.
    """
    count = 0
    base, rename = -1, ""
    with os.fdopen(fd, "rb", closefd=False) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as archive:
                for member in archive:
                    parts = _parts(member.name)
                    if base < 0:
                        base, rename = _open_target(open_path, path, parts, member.isdir(), foreign)
                    if rename and parts:
                        parts[0] = rename
                    _make(base, parts, member, archive, how)
                    count += 1
        except tarfile.TarError as error:
            if count or base >= 0 or not foreign:
                raise SandboxError(f"the archive ends too early or is damaged: {error}") from error
            raise SandboxError("what was read is no tar archive") from error
    return count


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


def _add_tree(archive: tarfile.TarFile, top: int, name: str, kernel: set[int]) -> None:
    """Add depth first; takes `top` over. One descriptor per level is open."""
    levels: list[tuple[int, str, Iterator[str]]] = []
    fd: int | None = top
    while True:
        if fd is not None:
            names = _add(archive, fd, name, kernel)
            if names is None:
                os.close(fd)
            else:
                levels.append((fd, name, names))
        if not levels:
            return
        folder, above, rest = levels[-1]
        child = next(rest, None)
        if child is None:
            os.close(folder)
            levels.pop()
            fd = None
            continue
        name = f"{above}/{child}"
        try:
            fd = os.open(child, _PATH, dir_fd=folder)
        except FileNotFoundError:  # removed meanwhile
            fd = None


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
        info.size = status.st_size
        with open(f"/proc/self/fd/{fd}", "rb", buffering=0) as file:
            archive.addfile(info, _Filled(file))
    return None


class _Filled:
    """A file that never ends: zeros follow."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = 0, /) -> bytes:
        data = b""
        while len(data) < size and (piece := self._file.read(min(size - len(data), _PIECE_BYTES))):
            data += piece
        return data.ljust(size, b"\0")


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise SandboxError(f"the archive names {name!r}, which leads out of it")
    return parts


def _open_target(
    open_path: OpenPath, path: bytes, parts: list[str], is_directory: bool, foreign: bool
) -> tuple[int, str]:
    """Return the directory to make things in, and the name that the first one gets instead of its own ("": its own)."""
    shown = os.fsdecode(path)
    try:
        fd = open_path(path)
    except FileNotFoundError:
        fd = -1
    if fd >= 0:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            return fd, ""
        os.close(fd)
    plain = path.rstrip(b"/")
    if foreign or (plain != path and not is_directory):
        raise SandboxError(f"{shown} is no directory")
    if fd >= 0 and is_directory:
        raise SandboxError(f"{shown} is a file, and a directory cannot replace it")
    folder, name = os.path.split(plain)
    if not parts:  # the content of a directory becomes that of a new one
        parent = open_path(folder or (b"/" if path.startswith(b"/") else b"."))
        os.mkdir(name, 0o755, dir_fd=parent)
        made = os.open(name, _DIRECTORY, dir_fd=parent)
        os.close(parent)
        return made, ""
    return open_path(folder or (b"/" if path.startswith(b"/") else b".")), os.fsdecode(name)


def _make(base: int, parts: list[str], member: tarfile.TarInfo, archive: tarfile.TarFile, how: Receiving) -> None:
    if not parts or member.ischr() or member.isblk():
        return
    folder = _open_folder(base, parts[:-1])
    name = parts[-1]
    try:
        if member.isdir():
            fd = _open_or_make_folder(folder, name)
        elif member.isfile():
            _remove_file(folder, name)
            fd = os.open(
                name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder
            )
            _copy_content(archive, member, fd)
        else:
            _remove_file(folder, name)
            _make_other(base, folder, name, member)
            return
        try:
            _set_attributes(fd, member, how)
        finally:
            os.close(fd)
    finally:
        os.close(folder)


def _make_other(base: int, folder: int, name: str, member: tarfile.TarInfo) -> None:
    if member.issym():
        os.symlink(member.linkname, name, dir_fd=folder)
    elif member.isfifo():
        os.mkfifo(name, stat.S_IMODE(member.mode) & 0o777, dir_fd=folder)
    elif member.islnk():
        *above, last = _parts(member.linkname) or [""]
        source = _open_folder(base, above)
        try:
            os.link(last, name, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(source)


def _open_folder(base: int, parts: list[str]) -> int:
    fd = os.open(".", _DIRECTORY, dir_fd=base)
    for part in parts:
        try:
            below = _open_or_make_folder(fd, part)
        finally:
            os.close(fd)
        fd = below
    return fd


def _open_or_make_folder(folder: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=folder)
    try:
        return os.open(name, _DIRECTORY, dir_fd=folder)
    except OSError as error:
        raise SandboxError(f"{name} is in the way: it is no directory") from error


def _remove_file(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError) as error:
        raise SandboxError(f"{name} cannot be replaced: {error.strerror}") from error


def _copy_content(archive: tarfile.TarFile, member: tarfile.TarInfo, fd: int) -> None:
    source = archive.extractfile(member)
    assert source is not None
    while piece := source.read(_PIECE_BYTES):
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]


def _set_attributes(fd: int, member: tarfile.TarInfo, how: Receiving) -> None:
    if how.owner:
        os.fchown(fd, member.uid, member.gid)
    os.fchmod(fd, member.mode & (0o7777 if how.special else 0o777))
    moment = int(member.mtime * 1e9)
    os.utime(fd, ns=(moment, moment))

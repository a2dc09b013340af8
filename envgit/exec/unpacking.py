"""Files from a tar stream, where every name is looked up in a descriptor and no link is followed on the way: see archive.py.

What is there already is replaced when it is a file or a link, and else left: a device or FIFO may be what others work with.
"""

from __future__ import annotations

import os
import stat
import tarfile
from contextlib import suppress
from typing import NamedTuple, cast

from envgit.errors import SandboxError
from envgit.exec.archive import OpenPath
from envgit.exec.sparse import Extent, check_extents, stored_bytes

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE_BYTES = 1 << 18
_MOST_LINKS = 40
_READS_AT_END = 100
_MOST_MTIME_SECONDS = 1 << 33
"""Within what os.utime() takes."""


class Receiving(NamedTuple):
    """How files are made. `owner`: keep ids, else they belong to whoever writes. `special`: keep setuid, setgid and sticky."""

    owner: bool = False
    special: bool = False


def receive_tree(open_path: OpenPath, path: bytes, fd: int, how: Receiving, *, foreign: bool = False) -> int:
    """Make what a tar archive on `fd` holds at `path`, as cp(1) does; return the number of entries.

    Into a directory that exists, else as the name `path`; `foreign` (any archive): always into a directory. Existing files are
    replaced, never written into. A `path` that is a link is followed when a file is to be replaced; no link in the tree is.
    Holes stay holes. Raises OSError, SandboxError for an archive that would escape or is none, for what cannot be replaced,
    and for a file that is larger than the space that is free.
    """
    count = 0
    base, rename = -1, ""
    try:
        with tarfile.open(fileobj=_Input(fd), mode="r|", errors="surrogateescape") as archive:  # type: ignore[call-overload]
            for member in archive:
                parts = _parts(member.name)
                if base < 0:
                    base, rename = _open_target(open_path, path, parts, member, foreign)
                if rename and parts:
                    parts[0] = rename
                _make(base, parts, member, archive, how)
                count += 1
    except (
        tarfile.TarError,
        ValueError,
        OverflowError,
    ) as error:  # the last two: of numbers that are none, or beyond all
        if count or base >= 0 or not foreign:
            raise SandboxError(f"the archive ends too early or is damaged: {error}") from error
        raise SandboxError("what was read is no tar archive") from error
    finally:
        if base >= 0:
            os.close(base)
    return count


class _Input:
    """What tarfile reads from. Raises ReadError when the end is read again and again: a damaged map of holes does that for ever."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at_end = 0

    def read(self, size: int, /) -> bytes:
        data = os.read(self._fd, size)
        if not data:
            self._at_end += 1
            if self._at_end > _READS_AT_END:
                raise tarfile.ReadError("unexpected end of data")
        return data


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise SandboxError(f"the archive names {name!r}, which leads out of it")
    return parts


def _open_target(
    open_path: OpenPath, path: bytes, parts: list[str], member: tarfile.TarInfo, foreign: bool
) -> tuple[int, str]:
    """Return the directory to make things in, and the name that the first one gets instead of its own ("": its own)."""
    shown = os.fsdecode(path)
    there: os.stat_result | None = None
    with suppress(FileNotFoundError):
        fd = open_path(path)
        there = os.fstat(fd)
        if stat.S_ISDIR(there.st_mode):
            return fd, ""
        os.close(fd)
        _refuse_special(shown, there.st_mode)
    plain = path.rstrip(b"/")
    if foreign or (plain != path and not member.isdir()):
        raise SandboxError(f"{shown} is no directory")
    if there is not None and member.isdir():
        raise SandboxError(f"{shown} is a file, and a directory cannot replace it")
    if member.isfile():
        parent, name = _follow(open_path, plain, there)
    else:
        parent, name = _open_parent(open_path, plain)
    if parts:
        return parent, os.fsdecode(name)
    try:  # the content of a directory becomes that of a new one
        os.mkdir(name, 0o755, dir_fd=parent)
        return os.open(name, _DIRECTORY, dir_fd=parent), ""
    finally:
        os.close(parent)


def _open_parent(open_path: OpenPath, path: bytes) -> tuple[int, bytes]:
    folder, name = os.path.split(path)
    return open_path(folder or (b"/" if path.startswith(b"/") else b".")), name


def _follow(open_path: OpenPath, path: bytes, there: os.stat_result | None) -> tuple[int, bytes]:
    """Return the folder and name of the file that `path` leads to, through links; `there`: what it was seen to be."""
    given = os.fsdecode(path)
    for _ in range(_MOST_LINKS):
        parent, name = _open_parent(open_path, path)
        found = _look(parent, name)
        if found is None or not stat.S_ISLNK(found.st_mode):
            if (found is None) != (there is None) or (found and there and not os.path.samestat(found, there)):
                os.close(parent)
                raise SandboxError(f"{given} changed while it was looked up, or is a link of the kernel's")
            return parent, name
        if there is None:
            os.close(parent)
            raise SandboxError(f"{given} is a link to nothing")
        target = os.readlink(name, dir_fd=parent)
        os.close(parent)
        path = os.path.join(os.path.dirname(path), target)
    raise SandboxError(f"{given} leads through too many links")


def _look(folder: int, name: bytes | str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _refuse_special(shown: str, mode: int) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
        kind = "a FIFO" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise SandboxError(f"{shown} is {kind}, and is not replaced", hint="for a stream: envgit cp NAME:PATH -")


def _make(base: int, parts: list[str], member: tarfile.TarInfo, archive: tarfile.TarFile, how: Receiving) -> None:
    if not parts or member.ischr() or member.isblk():
        return
    folder = _open_folder(base, parts[:-1])
    name = parts[-1]
    try:
        if member.isdir():
            fd = _open_or_make_folder(folder, name)
        elif member.isfile():
            extents, size = _extents(member)
            _check_space(folder, name, sum(length for _, length in extents))
            _remove_file(folder, name)
            fd = os.open(
                name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder
            )
            _copy_content(archive, member, extents, size, fd)
        else:
            if member.isfifo() and (found := _look(folder, name)) and stat.S_ISFIFO(found.st_mode):
                return
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
    found = _look(folder, name)
    if found is None:
        return
    _refuse_special(name, found.st_mode)
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError) as error:
        raise SandboxError(f"{name} cannot be replaced: {error.strerror}") from error


def _extents(member: tarfile.TarInfo) -> tuple[tuple[Extent, ...], int]:
    """Return where a file has data, and how long it is."""
    if member.sparse is None:
        return ((0, member.size),), member.size
    size = int(member.pax_headers.get("GNU.sparse.realsize", member.size))
    return check_extents(cast("list[Extent]", member.sparse), size), size


def _check_space(folder: int, name: str, needed: int) -> None:
    """Refuse a file that cannot fit, before the one that it replaces is removed."""
    room = os.fstatvfs(folder)
    old = _look(folder, name)
    free = room.f_bavail * room.f_frsize + (old.st_blocks * 512 if old is not None else 0)
    if room.f_blocks and needed > free:
        raise SandboxError(f"{name} has {needed} bytes, and {free} are free where it is to go")


def _copy_content(
    archive: tarfile.TarFile, member: tarfile.TarInfo, extents: tuple[Extent, ...], size: int, fd: int
) -> None:
    """Write what the archive holds of a file, and leave holes."""
    source = archive.fileobj
    assert source is not None
    if member.sparse is not None:
        archive.offset = member.offset_data + stored_bytes(extents)  # tarfile takes the real size for the stored one
    source.seek(member.offset_data)
    for start, length in extents:
        os.lseek(fd, start, os.SEEK_SET)
        while length:
            piece = source.read(min(length, _PIECE_BYTES))
            if not piece:
                raise tarfile.ReadError("unexpected end of data")
            length -= len(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]
    os.ftruncate(fd, size)


def _set_attributes(fd: int, member: tarfile.TarInfo, how: Receiving) -> None:
    if not -_MOST_MTIME_SECONDS < member.mtime < _MOST_MTIME_SECONDS:
        raise SandboxError(f"the archive is damaged: {member.name!r} has the impossible time {member.mtime}")
    if how.owner:
        os.fchown(fd, member.uid, member.gid)
    os.fchmod(fd, member.mode & (0o7777 if how.special else 0o777))
    moment = int(member.mtime * 1e9)
    os.utime(fd, ns=(moment, moment))

"""Paths inside an environment, resolved to descriptors and never by name.

Links are honoured with the environment's root as `/`; `..` stops there; magic links are not followed. openat2(2) does
it in one call; where it is missing (an old seccomp profile answers ENOSYS) the walk below does it with one O_PATH
descriptor per component, as it also does whenever something has to be created on the way.
"""

from __future__ import annotations

import errno
import os
import stat

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.light_typing import Literal

Create = Literal["file", "directory"]
MAXIMUM_LINKS = 40


def open_inside(root_fd: int, path: bytes, *, links: bool = True) -> int:
    """Return an O_PATH descriptor of `path`; ELOOP when a link is met and `links` is false."""
    relative = path.lstrip(b"/") or b"."
    resolve = linux.RESOLVE_NO_MAGICLINKS | (linux.RESOLVE_IN_ROOT if links else linux.RESOLVE_BENEATH)
    try:
        return linux.openat2(root_fd, relative, os.O_PATH, 0, resolve | (0 if links else linux.RESOLVE_NO_SYMLINKS))
    except OSError as error:
        # EAGAIN: with a `..` on the way, when anything was renamed or mounted meanwhile, anywhere on the machine
        if error.errno not in (errno.ENOSYS, errno.EAGAIN):
            raise
    return walk(root_fd, path, links=links)


def open_directory(root_fd: int, path: bytes) -> int:
    """Return an O_PATH descriptor of a plain directory: no link anywhere in `path`, created where missing.

    SandboxError says what is there instead: the environment decides about its files, and may be hostile.
    """
    try:
        try:
            fd = open_inside(root_fd, path, links=False)
        except FileNotFoundError:
            fd = walk(root_fd, path, links=False, create="directory")
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        raise _not_plain(path, "a symbolic link" if error.errno == errno.ELOOP else "below a file") from error
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise _not_plain(path, "not a directory")
    return fd


def _not_plain(path: bytes, what: str) -> SandboxError:
    text = os.fsdecode(path)
    return SandboxError(
        f"{text} of the environment is {what}; a sandbox needs a plain directory there",
        hint=f"see what it is: envgit ls REV:/; go back to a revision where it is well: envgit restore --source REV {text}",
    )


def open_or_create(root_fd: int, path: bytes, create: Create, created: list[bytes] | None = None) -> int:
    """Return an O_PATH descriptor of `path`, links honoured; what is missing is created (0755, files empty 0644).

    What is made is added to `created`, by its real path, and the directory above keeps its modification time.
    """
    try:
        return open_inside(root_fd, path)
    except FileNotFoundError:
        return walk(root_fd, path, create=create, created=created)


def read_inside(root_fd: int, path: bytes, limit_bytes: int = 4 << 20) -> bytes:
    """Return the content of a regular file, b"" when it is missing or something else."""
    try:
        fd = open_inside(root_fd, path)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        readable = os.open(b"/proc/self/fd/%d" % fd, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pieces = []
            while limit_bytes > 0 and (piece := os.read(readable, min(limit_bytes, 65536))):
                pieces.append(piece)
                limit_bytes -= len(piece)
            return b"".join(pieces)
        finally:
            os.close(readable)
    except OSError:
        return b""
    finally:
        os.close(fd)


def walk(
    root_fd: int,
    path: bytes,
    *,
    links: bool = True,
    create: Create | None = None,
    created: list[bytes] | None = None,
) -> int:
    """Resolve `path` one component at a time; with `create`, make missing directories and the final file or directory.

    The stack of descriptors is what `..` goes back on, so a rename outside our sight cannot lead above the root.
    """
    stack = [os.open(b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root_fd)]
    names: list[bytes] = []
    todo = [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]
    followed = 0
    try:
        while todo:
            name = todo.pop()
            if name == b"..":
                if len(stack) > 1:
                    os.close(stack.pop())
                    names.pop()
                continue
            fd, made = _step(stack[-1], name, create if not todo else (create and "directory"))
            mode = os.fstat(fd).st_mode
            if stat.S_ISLNK(mode):
                target = os.readlink(b"", dir_fd=fd)
                os.close(fd)
                followed += 1
                if not links or followed > MAXIMUM_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                if target.startswith(b"/"):
                    while len(stack) > 1:
                        os.close(stack.pop())
                    names.clear()
                todo.extend(part for part in reversed(target.split(b"/")) if part not in (b"", b"."))
                continue
            stack.append(fd)
            names.append(name)
            if made and created is not None:
                created.append(b"/".join(names))
            if todo and not stat.S_ISDIR(mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return stack.pop()
    finally:
        for fd in stack:
            os.close(fd)


def _step(parent_fd: int, name: bytes, create: Create | None) -> tuple[int, bool]:
    """Return an O_PATH descriptor of one name, and whether it was made."""
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent_fd), False
    except FileNotFoundError:
        if create is None:
            raise
    before = os.fstat(parent_fd)
    try:
        if create == "directory":
            os.mkdir(name, 0o755, dir_fd=parent_fd)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=parent_fd))
        os.utime(b".", ns=(before.st_atime_ns, before.st_mtime_ns), dir_fd=parent_fd)
    except FileExistsError:  # another sandbox over the same files was faster
        return os.open(name, flags, dir_fd=parent_fd), False
    return os.open(name, flags, dir_fd=parent_fd), True

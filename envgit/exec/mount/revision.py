"""A path of another revision, read-only for sure: an overlay that has no upper directory cannot be made writable."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.mount.place import attach, clone_mount, new_filesystem, restrict
from envgit.exec.mount.resolve import open_directory, open_inside
from envgit.exec.mount.rootfs import make_overlay
from envgit.exec.mount.volumes import detach, kind_of, open_target

if TYPE_CHECKING:
    from envgit.exec.mount.place import Place

_ATTRIBUTES = linux.MOUNT_ATTR_NODEV | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_RDONLY


class MountRevision:
    """Mount a stack of layers for a moment on /run, resolve a path in it with it as `/`, leave a copy of that at the target.

    A single layer gets an empty directory below it: a bare bind mount of a layer could be remounted writable by
    a program that was given CAP_SYS_ADMIN, and layers are shared by everybody.
    """

    __slots__ = ("_fds", "layers", "name", "noexec", "subpath", "target")

    def __init__(self, layers: tuple[bytes, ...], subpath: bytes, target: bytes, noexec: bool, name: bytes) -> None:
        """`layers`, top first, are relative to the working directory of the child; `name` is for messages."""
        self.layers = layers
        self.subpath = subpath
        self.target = target
        self.noexec = noexec
        self.name = name
        self._fds: list[int] = []

    def describe(self) -> str:
        return f"{os.fsdecode(self.name)} on {os.fsdecode(self.target)} (read-only)"

    def open(self, place: Place) -> None:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        for path in self.layers:
            try:
                self._fds.append(os.open(path, flags))
            except OSError as error:
                raise SandboxError(f"layer folder {os.fsdecode(path)}: {error.strerror}") from error

    def execute(self, place: Place) -> None:
        staging = new_filesystem(b"tmpfs", ((b"mode", b"0700"), (b"nr_inodes", b"4")), _ATTRIBUTES & ~1)
        attach(staging, open_directory(place.root_fd, b"/run"))
        for name in (b"empty", b"top"):
            os.mkdir(name, 0o755, dir_fd=staging)
        empty = os.open(b"empty", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=staging)
        whole = make_overlay([*self._fds, empty])
        for fd in (*self._fds, empty):
            os.close(fd)
        # A detached mount cannot be copied before Linux 6.15: attach it for that moment.
        attach(whole, os.open(b"top", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=staging))
        copy = clone_mount(found := self._find(whole))
        os.close(found)
        detach(whole, place)
        detach(staging, place)
        attach(copy, open_target(place, self.target, kind_of(copy)))
        restrict(copy, _ATTRIBUTES | (linux.MOUNT_ATTR_NOEXEC if self.noexec else 0), recursive=False)
        os.close(copy)

    def _find(self, whole: int) -> int:
        name = os.fsdecode(self.name)
        try:
            fd = open_inside(whole, self.subpath)
        except OSError as error:
            missing = error.errno == errno.ENOENT
            hint = "see what is there: envgit ls REV:PATH" if missing else None
            raise SandboxError(f"{name}: {error.strerror}", hint=hint) from error
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            os.close(fd)
            raise SandboxError(f"{name} is neither a directory nor a regular file")
        return fd

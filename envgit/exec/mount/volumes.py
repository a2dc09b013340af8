"""Operations for what the caller brings along: injected memory files, bind mounts of host paths, memory folders."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.place import attach, clone_mount, new_filesystem, restrict
from envgit.exec.resolve import open_directory, open_or_create

if TYPE_CHECKING:
    from envgit.exec.place import Place

NODEV, NOSUID = linux.MOUNT_ATTR_NODEV, linux.MOUNT_ATTR_NOSUID
FORBIDDEN_SOURCES = (b"/proc", b"/sys", b"/dev")


class InjectFiles:
    """Mount memory files over paths such as /etc/hosts; nothing of them is ever written into the root.

    The files live on one private tmpfs that is attached for a moment (on /run, where nothing can see it) to be copied
    from, then detached: only the bind mounts of its files remain. A path that does not exist is created empty.
    """

    __slots__ = ("files",)

    def __init__(self, files: tuple[tuple[bytes, bytes], ...]) -> None:
        self.files = files

    def describe(self) -> str:
        return "memory files " + " ".join(os.fsdecode(path) for path, _ in self.files)

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        memory = new_filesystem(b"tmpfs", ((b"mode", b"700"), (b"size", b"1m")), NOSUID | NODEV)
        attach(memory, open_directory(place.root_fd, b"/run"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        copies = []
        for number, (path, content) in enumerate(self.files):
            name = b"%d-%s" % (number, path.rpartition(b"/")[2])
            fd = os.open(name, flags, 0o644, dir_fd=memory)
            os.write(fd, content)
            copies.append((path, clone_mount(fd)))
            os.close(fd)
        os.fchdir(memory)  # not /proc/self/fd: a joined sandbox's /proc does not know this process
        linux.umount_detach(b".")
        os.fchdir(place.root_fd)
        os.close(memory)
        for path, copy in copies:
            target = open_or_create(place.root_fd, path, "file")
            if not stat.S_ISREG(os.fstat(target).st_mode):
                os.close(target)
                raise SandboxError(f"{os.fsdecode(path)} of the environment is not a regular file")
            attach(copy, target)
            os.close(copy)


class MountMemory:
    """An empty memory file system of the caller's choice."""

    __slots__ = ("readonly", "target")

    def __init__(self, target: bytes, readonly: bool) -> None:
        self.target = target
        self.readonly = readonly

    def describe(self) -> str:
        return f"tmpfs on {os.fsdecode(self.target)}"

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        mount = new_filesystem(b"tmpfs", ((b"mode", b"1777"),), NOSUID | NODEV)
        attach(mount, _target(place, self.target, "directory"))
        if self.readonly:
            restrict(mount, linux.MOUNT_ATTR_RDONLY | NOSUID | NODEV, recursive=False)
        os.close(mount)


class BindVolume:
    """A path of the host. Opened with the caller's rights: by the parent as a detached mount, or else here, before ids
    change. The target is resolved with the environment's root as `/` and never in /proc, /sys, /dev."""

    __slots__ = ("mount_fd", "readonly", "source", "target")

    def __init__(self, source: bytes, target: bytes, readonly: bool, mount_fd: int) -> None:
        self.source = source
        self.target = target
        self.readonly = readonly
        self.mount_fd = mount_fd

    def describe(self) -> str:
        mode = " (read-only)" if self.readonly else ""
        return f"{os.fsdecode(self.source)} on {os.fsdecode(self.target)}{mode}"

    def open(self, place: Place) -> None:
        if self.mount_fd < 0:
            fd = open_source(self.source)
            self.mount_fd = clone_mount(fd, recursive=True)
            os.close(fd)

    def execute(self, place: Place) -> None:
        directory = stat.S_ISDIR(os.fstat(self.mount_fd).st_mode)
        attach(self.mount_fd, _target(place, self.target, "directory" if directory else "file"))
        attributes = NOSUID | NODEV | (linux.MOUNT_ATTR_RDONLY if self.readonly else 0)
        restrict(self.mount_fd, attributes, recursive=True)
        os.close(self.mount_fd)


def open_source(path: bytes) -> int:
    """Return an O_PATH descriptor of a volume's source, which must be a directory or a regular file."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError(f"volume {os.fsdecode(path)}: {error.strerror}") from error
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        os.close(fd)
        raise SandboxError(f"volume {os.fsdecode(path)} is neither a directory nor a regular file")
    return fd


def check_source(path: bytes, forbidden: tuple[bytes, ...]) -> bytes:
    """Return the real path of a volume's source; SandboxError when it is /, /proc, /sys, /dev or one of `forbidden`,
    lies in one of them or contains one of `forbidden`."""
    text = os.fsdecode(path)
    if not path.startswith(b"/") or b"\0" in path:
        raise SandboxError(f"volume source {text!r} is not an absolute path")
    real = os.path.realpath(path)
    for folder in (*FORBIDDEN_SOURCES, *(os.path.realpath(folder) for folder in forbidden)):
        if real == folder or real.startswith(folder + b"/"):
            raise SandboxError(f"volume {text} is refused: it lies in {os.fsdecode(folder)}")
        if folder.startswith(real.rstrip(b"/") + b"/"):
            raise SandboxError(f"volume {text} is refused: it contains {os.fsdecode(folder)}")
    return real


def _target(place: Place, path: bytes, kind: str) -> int:
    target = open_or_create(place.root_fd, path, "directory" if kind == "directory" else "file")
    status = os.fstat(target)
    shared_memory = path == b"/dev/shm" or path.startswith(b"/dev/shm/")
    if status.st_dev in place.protected_devices and not shared_memory:
        os.close(target)
        raise SandboxError(f"mount target {os.fsdecode(path)} leads into /proc, /sys or /dev")
    if os.path.samestat(status, os.fstat(place.root_fd)):
        os.close(target)
        raise SandboxError(f"mount target {os.fsdecode(path)} leads to /")
    if stat.S_ISDIR(status.st_mode) != (kind == "directory"):
        os.close(target)
        raise SandboxError(f"mount target {os.fsdecode(path)} is not a {kind}")
    return target

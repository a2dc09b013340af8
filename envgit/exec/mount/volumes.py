"""Operations for what the caller brings along: injected memory files, folders and files of the host, memory folders."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.mount.place import attach, clone_mount, new_filesystem, restrict
from envgit.exec.mount.resolve import open_directory, open_inside, open_or_create
from envgit.exec.mount.system_mounts import attach_empty
from envgit.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envgit.exec.mount.place import Place
    from envgit.exec.mount.resolve import Create
    from envgit.exec.mount.sources import Source
    from envgit.exec.spec import Mount

NODEV, NOSUID, NOEXEC = linux.MOUNT_ATTR_NODEV, linux.MOUNT_ATTR_NOSUID, linux.MOUNT_ATTR_NOEXEC
READ_ONLY = linux.MOUNT_ATTR_RDONLY
CREATED = b"created"
"""Its name in the handoff."""

SHARED_MEMORY = b"/dev/shm"


class InjectFiles:
    """Mount memory files over paths such as /etc/hosts; nothing of them is ever written into the root.

    The files live on one private tmpfs that is attached for a moment (on /run, where nothing can see it) to be copied
    from, then detached: only the bind mounts of its files remain. A path that does not exist is created empty, in the root
    only: nothing is made in a folder that the caller has mounted above it.
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
        detach(memory, place)
        for path, copy in copies:
            if self._has_place(place, path):
                attach(copy, open_target(place, path, "file"))
            os.close(copy)

    @staticmethod
    def _has_place(place: Place, path: bytes) -> bool:
        try:
            os.close(open_inside(place.root_fd, path))
            return True
        except OSError:
            pass
        try:
            above = open_inside(place.root_fd, path.rpartition(b"/")[0] or b"/")
        except OSError:
            return True
        own = os.fstat(above).st_dev == os.fstat(place.root_fd).st_dev
        link = False
        with suppress(OSError):  # /etc/resolv.conf often leads to where nothing is yet
            os.readlink(path.rpartition(b"/")[2], dir_fd=above)
            link = True
        os.close(above)
        return own or link


class MountMemory:
    """An empty memory file system of the caller's choice."""

    __slots__ = ("noexec", "options", "readonly", "target")

    def __init__(
        self,
        target: bytes,
        readonly: bool,
        noexec: bool = False,
        options: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self.target = target
        self.readonly = readonly
        self.noexec = noexec
        self.options = options

    def describe(self) -> str:
        said = b",".join(name + b"=" + value for name, value in self.options)
        return f"tmpfs on {os.fsdecode(self.target)}{_words(self.readonly, self.noexec, os.fsdecode(said))}"

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        options = dict(((b"mode", b"1777"), *self.options))
        try:
            mount = new_filesystem(b"tmpfs", tuple(options.items()), NOSUID | NODEV | (NOEXEC if self.noexec else 0))
        except OSError as error:
            said = ",".join(os.fsdecode(name + b"=" + value) for name, value in self.options)
            raise SandboxError(
                f"tmpfs on {os.fsdecode(self.target)}: the kernel refuses {said or 'it'}: {error.strerror}"
            ) from error
        attach(mount, open_target(place, self.target, "directory"))
        if self.readonly:
            restrict(mount, _attributes(True, self.noexec), recursive=False)
        os.close(mount)


class BindVolume:
    """A folder or file of the host, or a named volume: a detached mount that was made before the clone.

    The target is resolved with the environment's root as `/` and never in /proc, /sys, /dev. What of the store lies below
    is covered.
    """

    __slots__ = ("mount", "source")

    def __init__(self, mount: Mount, source: Source | None) -> None:
        """`mount.target` is normalised; without a `source` it can only be described."""
        self.mount = mount
        self.source = source

    def describe(self) -> str:
        said = _words(self.mount.readonly, self.mount.noexec)
        return f"{os.fsdecode(self.mount.source)} on {os.fsdecode(self.mount.target)}{said}"

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        assert self.source is not None
        mount = self.source.mount
        target = open_target(place, self.mount.target, kind_of(mount))
        if self.source.marker >= 0:
            self._fill(target, self.source.marker)
        attach(mount, target)
        restrict(mount, _attributes(False, self.mount.noexec), recursive=True)
        for path in self.source.hidden:
            self._hide(place, mount, path)
        if self.mount.readonly:
            restrict(mount, _attributes(True, self.mount.noexec), recursive=True)
        os.close(mount)

    def _fill(self, target: int, marker: int) -> None:
        """Give a new volume what the environment has at the target; the mark is what says that this is done."""
        from envgit.exec.mount.copy_up import fill_volume  # loaded: sources.py, which made the source, needs it

        assert self.source is not None
        try:
            fill_volume(target, self.source.mount, marker)
        except OSError as error:
            name = os.fsdecode(self.mount.target)
            raise SandboxError(
                f"the content of {name} cannot be copied into the volume: {error.strerror}",
                hint=f"start with it empty: --mount type=volume,src=NAME,dst={name},volume-nocopy",
            ) from error
        os.close(marker)

    def _hide(self, place: Place, mount: int, path: bytes) -> None:
        try:
            attach_empty(open_inside(mount, path, links=False), place)
        except OSError as error:
            name = f"{os.fsdecode(self.mount.source)}/{os.fsdecode(path)}"
            raise SandboxError(f"{name} cannot be covered inside the sandbox: {error.strerror}") from error


class ReportCreated:
    """Hand the list of mount points that were made over to the monitor, so that commits can leave them out."""

    __slots__ = ("send",)

    def __init__(self, send: Callable[[bytes, int], None]) -> None:
        """`send(name, fd)` gives the monitor a copy of a descriptor."""
        self.send = send

    def describe(self) -> str:
        return "note the mount points that were made"

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        if place.created:
            fd = os.memfd_create("created", os.MFD_CLOEXEC)
            os.write(fd, b"\0".join(place.created))
            self.send(CREATED, fd)
            os.close(fd)


def read_created(fd: int) -> tuple[bytes, ...]:
    """Return what ReportCreated sent, and close it; paths have no leading slash. -1: nothing."""
    if fd < 0:
        return ()
    with open(fd, "rb") as file:
        file.seek(0)
        return tuple(file.read().split(b"\0"))


def kind_of(fd: int) -> Create:
    """Return what a mount of `fd` can be placed on."""
    return "directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"


def detach(mount: int, place: Place) -> None:
    """Detach and close a mount that lent its place; not by /proc/self/fd: a joined sandbox's /proc may not know this process."""
    os.fchdir(mount)
    linux.umount_detach(b".")
    os.fchdir(place.root_fd)
    os.close(mount)


def open_target(place: Place, path: bytes, kind: Create) -> int:
    """Return an O_PATH descriptor of where a mount goes, created where missing; SandboxError for what is refused."""
    text = os.fsdecode(path)
    made: list[bytes] = []
    try:
        target = open_or_create(place.root_fd, path, kind, made)
    except OSError as error:
        raise SandboxError(f"mount target {text}: {_reason(error)}", hint=_way_out(error)) from error
    try:
        _check_target(place, path, target, kind)
    except BaseException:
        os.close(target)
        raise
    place.created.extend(made)
    return target


def _check_target(place: Place, path: bytes, target: int, kind: Create) -> None:
    text = os.fsdecode(path)
    status = os.fstat(target)
    shared_memory = path == SHARED_MEMORY or path.startswith(SHARED_MEMORY + b"/")
    if not shared_memory and _is_protected(place, target, status):
        raise SandboxError(f"mount target {text} leads into /proc, /sys or /dev: a link of the environment")
    if os.path.samestat(status, os.fstat(place.root_fd)):
        raise SandboxError(f"mount target {text} leads to /: a link of the environment")
    if stat.S_ISDIR(status.st_mode) != (kind == "directory"):
        found = "a directory" if stat.S_ISDIR(status.st_mode) else "a file"
        wanted = "a directory" if kind == "directory" else "a file"
        raise SandboxError(
            f"mount target {text} is {found} of the environment, and what is mounted is {wanted}",
            hint="choose a target of the same type, or one that does not exist",
        )


def _is_protected(place: Place, target: int, status: os.stat_result) -> bool:
    """Say whether `target`, or a directory above it up to the root, is on a file system that is the kernel's."""
    if status.st_dev in place.protected_devices:
        return True
    if not stat.S_ISDIR(status.st_mode):
        return False
    root = os.fstat(place.root_fd)
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    here = os.open(b".", flags, dir_fd=target)
    try:
        while not os.path.samestat(status, root):
            above = os.open(b"..", flags, dir_fd=here)
            os.close(here)
            here = above
            before, status = status, os.fstat(here)
            if status.st_dev in place.protected_devices:
                return True
            if os.path.samestat(before, status):
                return False
    finally:
        os.close(here)
    return False


def _reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "too many symbolic links in the environment"
    if error.errno == errno.ENOTDIR:
        return "a part of it is a file of the environment"
    if error.errno == errno.EROFS:
        return "it does not exist, and lies in a read-only mount, where it cannot be created"
    return error.strerror or str(error)


def _way_out(error: OSError) -> str | None:
    return "create it in the folder that is mounted above it" if error.errno == errno.EROFS else None


def _attributes(readonly: bool, noexec: bool) -> int:
    return NOSUID | NODEV | (READ_ONLY if readonly else 0) | (NOEXEC if noexec else 0)


def _words(readonly: bool, noexec: bool, more: str = "") -> str:
    words = [word for word, said in (("read-only", readonly), ("noexec", noexec), (more, bool(more))) if said]
    return f" ({', '.join(words)})" if words else ""

"""Operations that give the root its /dev, /proc, /sys and /run, then mask and protect parts of them."""

from __future__ import annotations

import errno
import os
import stat

from envgit.errors import HostUnsupported, SandboxError
from envgit.exec import linux
from envgit.exec.mount.place import attach, clone_mount, new_filesystem, restrict
from envgit.exec.mount.resolve import open_directory, open_inside
from envgit.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envgit.exec.mount.place import Place

NODEV, NOSUID, NOEXEC = linux.MOUNT_ATTR_NODEV, linux.MOUNT_ATTR_NOSUID, linux.MOUNT_ATTR_NOEXEC
READ_ONLY = linux.MOUNT_ATTR_RDONLY
TTY_GROUP = 5
SYS_ATTRIBUTES = READ_ONLY | NOSUID | NODEV | NOEXEC
MQUEUE_ATTRIBUTES = NOSUID | NODEV | NOEXEC

DEVICES = ((b"null", 1, 3), (b"zero", 1, 5), (b"full", 1, 7), (b"random", 1, 8), (b"urandom", 1, 9), (b"tty", 5, 0))
LINKS = (
    (b"fd", b"/proc/self/fd"), (b"stdin", b"/proc/self/fd/0"), (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"), (b"core", b"/proc/kcore"), (b"ptmx", b"pts/ptmx"),
)  # fmt: skip


class MountDev:
    """A fresh memory /dev before anything below it is opened: the environment's own /dev may hold traps.

    Device nodes are bind mounts of the host's, opened outside and checked by device number. `tty_group`: the map has
    group 5, which owns terminals.
    """

    __slots__ = ("_nodes", "prepared_mqueue", "shm_bytes", "tty_group")

    def __init__(self, tty_group: bool, shm_bytes: int) -> None:
        self.tty_group = tty_group
        self.shm_bytes = shm_bytes
        self.prepared_mqueue = -1
        """The mqueue of a joined ipc namespace, which only its owner can mount."""
        self._nodes: list[tuple[bytes, int]] = []

    def describe(self) -> str:
        return "fresh /dev with null zero full random urandom tty, /dev/pts, /dev/shm, /dev/mqueue"

    def open(self, place: Place) -> None:
        for name, major, minor in DEVICES:
            fd = os.open(b"/dev/" + name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            status = os.fstat(fd)
            if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(major, minor):
                raise SandboxError(f"/dev/{name.decode()} is not the device {major}:{minor}")
            self._nodes.append((name, fd))
            if name == b"null":
                place.null_fd = fd

    def execute(self, place: Place) -> None:
        size = ((b"mode", b"755"), (b"size", b"65536k"))
        dev = new_filesystem(b"tmpfs", size, NOSUID | NOEXEC)
        attach(dev, open_directory(place.root_fd, b"/dev"))
        place.dev_fd = dev
        place.protected_devices.add(os.fstat(dev).st_dev)
        for name, node in self._nodes:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=dev))
            place.protected_devices.add(os.fstat(node).st_dev)
            copy = clone_mount(node)
            attach(copy, os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dev))
            restrict(copy, NOSUID | NOEXEC, recursive=False)
            os.close(copy)
        for name, target in LINKS:
            os.symlink(target, name, dir_fd=dev)
        pts: tuple[tuple[bytes, bytes], ...] = ((b"mode", b"620"), (b"ptmxmode", b"666"))
        if self.tty_group:
            pts += ((b"gid", b"%d" % TTY_GROUP),)
        place.devpts_fd = self._below(dev, b"pts", b"devpts", pts, NOSUID | NOEXEC)
        place.protected_devices.add(os.fstat(place.devpts_fd).st_dev)
        shm = ((b"mode", b"1777"), (b"size", b"%d" % self.shm_bytes))
        os.close(self._below(dev, b"shm", b"tmpfs", shm, NOSUID | NODEV | NOEXEC))
        queues = self._below(dev, b"mqueue", b"mqueue", (), MQUEUE_ATTRIBUTES, self.prepared_mqueue)
        place.protected_devices.add(os.fstat(queues).st_dev)
        os.close(queues)

    @staticmethod
    def _below(
        dev: int,
        name: bytes,
        kind: bytes,
        options: tuple[tuple[bytes, bytes], ...],
        attributes: int,
        prepared: int = -1,
    ) -> int:
        os.mkdir(name, 0o755, dir_fd=dev)
        mount = prepared if prepared >= 0 else new_filesystem(kind, options, attributes)
        attach(mount, os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dev))
        return mount


class MountProc:
    """A proc of the new pid namespace on a plain directory; optionally forbid further user namespaces through it."""

    __slots__ = ("limit_namespaces",)

    def __init__(self, limit_namespaces: bool) -> None:
        self.limit_namespaces = limit_namespaces

    def describe(self) -> str:
        return "/proc" + (", nested user namespaces off" if self.limit_namespaces else "")

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        target = open_directory(place.root_fd, b"/proc")
        try:
            place.proc_fd = new_filesystem(b"proc", (), NOSUID | NODEV | NOEXEC)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
            raise HostUnsupported(
                "cannot mount /proc: parts of this host's own /proc are masked, as inside a container",
                hint="start the container with unmasked /proc (docker: --security-opt systempaths=unconfined)",
            ) from error
        attach(place.proc_fd, target)
        place.protected_devices.add(os.fstat(place.proc_fd).st_dev)
        if self.limit_namespaces:
            setting = os.open(b"sys/user/max_user_namespaces", os.O_WRONLY | os.O_CLOEXEC, dir_fd=place.proc_fd)
            os.write(setting, b"0")
            os.close(setting)


class MountSys:
    """A read-only /sys of the own network namespace; with the host's network a read-only copy of the host's /sys.

    The kernel lets only the owner of a network namespace mount a sysfs of it: for a joined network the owner leaves the
    descriptor of one in `prepared`. Control groups of the host in a copied /sys are covered.
    """

    __slots__ = ("_copy", "own_network", "prepared")

    def __init__(self, own_network: bool) -> None:
        self.own_network = own_network
        self.prepared = -1
        self._copy = -1

    def describe(self) -> str:
        return "read-only /sys" + ("" if self.own_network else ", a copy of the host's")

    def open(self, place: Place) -> None:
        if not self.own_network:
            fd = os.open(b"/sys", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._copy = clone_mount(fd, recursive=True)
            os.close(fd)

    def execute(self, place: Place) -> None:
        target = open_directory(place.root_fd, b"/sys")
        attributes = SYS_ATTRIBUTES
        if self.own_network:
            mount = self.prepared if self.prepared >= 0 else new_filesystem(b"sysfs", (), attributes)
            attach(mount, target)
        else:
            mount = self._copy
            attach(mount, target)
            restrict(mount, attributes, recursive=True)
            try:
                groups = os.open(b"fs/cgroup", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=mount)
            except FileNotFoundError:
                groups = -1
            if groups >= 0:
                attach_empty(groups, place)
        place.protected_devices.add(os.fstat(mount).st_dev)
        os.close(mount)


class MountRun:
    """A fresh memory /run with the /run/lock that Debian's /var/lock points to."""

    __slots__ = ()

    def describe(self) -> str:
        return "fresh /run"

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        run = new_filesystem(b"tmpfs", ((b"mode", b"755"),), NOSUID | NODEV)
        attach(run, open_directory(place.root_fd, b"/run"))
        os.mkdir(b"lock", 0o1777, dir_fd=run)
        os.chmod(b"lock", 0o1777, dir_fd=run)
        os.close(run)


class Mask:
    """Cover a path: a directory by an empty one, anything else by /dev/null. A missing path needs no mask."""

    __slots__ = ("path",)

    def __init__(self, path: bytes) -> None:
        self.path = path

    def describe(self) -> str:
        return f"mask {os.fsdecode(self.path)}"

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        for path in _expand(place.root_fd, self.path):
            try:
                target = open_inside(place.root_fd, path, links=False)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if stat.S_ISDIR(os.fstat(target).st_mode):
                attach_empty(target, place)
            else:
                cover = clone_mount(place.null_fd)
                attach(cover, target)
                restrict(cover, NOSUID | NOEXEC, recursive=False)
                os.close(cover)


class MakeReadOnly:
    """Turn what lies at a path into a read-only mount of itself. A missing path is skipped."""

    __slots__ = ("path",)

    def __init__(self, path: bytes) -> None:
        self.path = path

    def describe(self) -> str:
        return f"read-only {os.fsdecode(self.path)}"

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        try:
            target = open_inside(place.root_fd, self.path, links=False)
        except (FileNotFoundError, NotADirectoryError):
            return
        copy = clone_mount(target, recursive=True)
        attach(copy, target)
        restrict(copy, READ_ONLY | NOSUID | NODEV | NOEXEC, recursive=True)
        os.close(copy)


class MakeRootReadOnly:
    """Make the root mount itself read-only; /dev, /run and volumes keep what they are."""

    __slots__ = ()

    def describe(self) -> str:
        return "read-only /"

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        restrict(place.root_fd, READ_ONLY | NOSUID | NODEV, recursive=False)


def attach_empty(target_fd: int, place: Place) -> None:
    """Cover a directory by an empty, read-only one, on which nothing of the caller's is mounted; closes `target_fd`."""
    empty = new_filesystem(b"tmpfs", ((b"mode", b"555"), (b"nr_inodes", b"2")), READ_ONLY | NOSUID | NODEV | NOEXEC)
    place.protected_devices.add(os.fstat(empty).st_dev)
    attach(empty, target_fd)
    os.close(empty)


def _expand(root_fd: int, pattern: bytes) -> list[bytes]:
    """Return the paths a pattern with at most one `PREFIX*` component stands for."""
    if b"*" not in pattern:
        return [pattern]
    before, _, after = pattern.partition(b"*")
    folder, _, prefix = before.rpartition(b"/")
    try:
        fd = open_inside(root_fd, folder, links=False)
        readable = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return []
    names = [os.fsencode(name) for name in os.listdir(readable)]
    os.close(fd)
    os.close(readable)
    return [folder + b"/" + name + after for name in names if name.startswith(prefix)]

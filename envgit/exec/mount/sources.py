"""Sources of volumes, opened before the clone: checked by descriptor, then copied into detached mounts.

What was checked is what is mounted. Root makes the mount from the descriptor itself. Others cannot in the host's mount namespace: a
short-lived process in namespaces of its own opens the real path again and compares device and inode; the descriptor that was
checked stays open meanwhile, so that the number cannot be given to another file.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.handoff import Handoff
from envgit.exec.idmap import wait_status
from envgit.exec.mount.copy_up import USED
from envgit.exec.mount.resolve import open_inside
from envgit.exec.spec import Mount

KERNEL_FOLDERS = (b"/proc", b"/sys", b"/dev")
KERNEL_FILESYSTEMS = frozenset(
    (b"proc", b"sysfs", b"devtmpfs", b"devpts", b"cgroup", b"cgroup2", b"securityfs", b"debugfs", b"tracefs", b"bpf")
)
ENGINE_SOCKETS = frozenset(
    (b"docker.sock", b"podman.sock", b"containerd.sock", b"crio.sock", b"buildkitd.sock", b"dockershim.sock")
)
"""Whoever can connect to one of these is root on the host, or the user that runs the engine."""

ENGINE_SOCKET_PATHS = (
    b"/run/docker.sock", b"/run/podman/podman.sock", b"/run/containerd/containerd.sock", b"/run/crio/crio.sock",
    b"/run/buildkit/buildkitd.sock", b"/run/user/%d/docker.sock" % os.getuid(),
    b"/run/user/%d/podman/podman.sock" % os.getuid(),
)  # fmt: skip

_BATCH = 64
"""Descriptors sent before the first is received: a socket holds a few hundred."""

Warn = Callable[[str], None]


class Source(NamedTuple):
    """A volume's source. `mount`: a detached mount of it; `hidden`: paths below it that are covered; `marker`: see Mount."""

    mount: int
    hidden: tuple[bytes, ...] = ()
    marker: int = -1


class _Checked(NamedTuple):
    fd: int
    path: bytes
    hidden: tuple[bytes, ...]
    marker: int


def open_sources(
    mounts: tuple[Mount, ...], forbidden: tuple[bytes, ...], *, by_root: bool, warn: Warn
) -> dict[int, Source]:
    """Return the sources of "bind" and "volume" mounts by index; the caller closes them (`source_fds`).

    Raises SandboxError for one that is missing, unreadable, or refused: /, /proc, /sys, /dev, what lies in `forbidden`,
    a device, the socket of a container engine.
    """
    checked: dict[int, _Checked] = {}
    opened: dict[int, Source] = {}
    try:
        for number, mount in enumerate(mounts):
            if mount.kind == "bind":
                checked[number] = _check(mount, forbidden, warn)
        markers: set[bytes] = set()
        for marker, number in sorted((mount.marker, at) for at, mount in enumerate(mounts) if mount.kind == "volume"):
            checked[number] = _open_volume(mounts[number], copies=marker not in markers)
            markers.add(marker)
        numbers = list(checked)
        for start in range(0, len(numbers), _BATCH):
            batch = {number: checked[number] for number in numbers[start : start + _BATCH]}
            copies = _copy_here(batch) if by_root else _copy_elsewhere(batch)
            for number, item in batch.items():
                opened[number] = Source(copies[number], item.hidden, item.marker)
        return opened
    except BaseException:
        for fd in source_fds(opened):
            os.close(fd)
        for number, item in checked.items():
            if number not in opened and item.marker >= 0:
                os.close(item.marker)
        raise
    finally:
        for item in checked.values():
            os.close(item.fd)


def source_fds(sources: Mapping[int, Source]) -> tuple[int, ...]:
    """Return every descriptor of `sources`."""
    return tuple(fd for source in sources.values() for fd in (source.mount, source.marker) if fd >= 0)


def _check(mount: Mount, forbidden: tuple[bytes, ...], warn: Warn) -> _Checked:
    text = os.fsdecode(mount.source)
    if not mount.source.startswith(b"/") or b"\0" in mount.source:
        raise SandboxError(f"volume source {text!r} is not an absolute path")
    try:
        fd = os.open(mount.source, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        hint = f"mkdir -p {text}" if isinstance(error, FileNotFoundError) else None
        raise SandboxError(f"volume {text}: {error.strerror}", hint=hint) from error
    try:
        status = os.fstat(fd)
        real = os.readlink(b"/proc/self/fd/%d" % fd)
        _refuse_kind(text, status, real)
        if mount.within and real != mount.within and not real.startswith(mount.within.rstrip(b"/") + b"/"):
            raise SandboxError(f"volume {text} leads out of {os.fsdecode(mount.within)}, to {os.fsdecode(real)}")
        hidden = _refuse_place(text, status, real, forbidden)
        if stat.S_ISSOCK(status.st_mode):
            _refuse_engine(text, status, real, mount.insist)
        if stat.S_ISDIR(status.st_mode):
            for socket in _sockets_below(real):
                warn(f"volume {text} contains {os.fsdecode(socket)}: with it programs inside can take over the host")
        return _Checked(fd, real, hidden, -1)
    except BaseException:
        os.close(fd)
        raise


def _refuse_kind(text: str, status: os.stat_result, real: bytes) -> None:
    mode = status.st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise SandboxError(
            f"volume {text} is refused: it is a device", hint="devices of the host are never shown inside"
        )
    if not real.startswith(b"/") or not _is_at(status, real):
        raise SandboxError(f"volume {text} was removed or replaced while it was opened", hint="run it again")


def _refuse_place(text: str, status: os.stat_result, real: bytes, forbidden: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Refuse what belongs to the kernel or the store; return what of `forbidden` lies below, as relative paths."""
    hint = "choose a folder that holds only what the program needs"
    if real == b"/":
        raise SandboxError(f"volume {text} is refused: it is the whole host", hint=hint)
    for folder in KERNEL_FOLDERS:
        with suppress(OSError):
            if real == folder or real.startswith(folder + b"/") or _same_kernel_filesystem(folder, status):
                raise SandboxError(f"volume {text} is refused: it lies in {os.fsdecode(folder)}", hint=hint)
    hidden = []
    for folder in forbidden:
        store = os.path.realpath(folder)
        if real == store or real.startswith(store + b"/") or _is_at(status, store):
            raise SandboxError(f"volume {text} is refused: it lies in {os.fsdecode(folder)}", hint=hint)
        if store.startswith(real + b"/"):
            hidden.append(store[len(real) + 1 :])
    for point, kind in _mounts_around(real):
        if kind in KERNEL_FILESYSTEMS:
            shown = f"{kind.decode('ascii', 'replace')} mounted on {os.fsdecode(point)}"
            what = "contains" if point.startswith(real + b"/") else "lies in"
            raise SandboxError(f"volume {text} is refused: it {what} {shown}", hint=hint)
    return tuple(hidden)


def _same_kernel_filesystem(folder: bytes, status: os.stat_result) -> bool:
    """Say whether `status` is of the file system at `folder`, which the host may have mounted elsewhere too."""
    top = os.stat(folder)
    return top.st_dev == status.st_dev != os.stat(b"/").st_dev


def _mounts_around(real: bytes) -> list[tuple[bytes, bytes]]:
    """Return mount point and type of what a path lies in, and of what is mounted below it (proc(5), mountinfo)."""
    found = []
    around = (b"/", b"")
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            before, _, after = line.partition(b" - ")
            point = before.split(b" ", 5)[4]
            if b"\\" in point:
                head, *rest = point.split(b"\\")
                point = head + b"".join(bytes((int(part[:3], 8),)) + part[3:] for part in rest)
            kind = after.split(b" ", 1)[0]
            if point.startswith(real + b"/"):
                found.append((point, kind))
            elif (real + b"/").startswith(point.rstrip(b"/") + b"/") and len(point) >= len(around[0]):
                around = (point, kind)  # the last of several at one place is the one that shows
    return [around, *found]


def _refuse_engine(text: str, status: os.stat_result, real: bytes, insist: bool) -> None:
    known = real.rpartition(b"/")[2] in ENGINE_SOCKETS or any(_is_at(status, path) for path in ENGINE_SOCKET_PATHS)
    if known and not insist:
        raise SandboxError(
            f"volume {text} is refused: through the socket of a container engine programs inside can take over the host",
            hint=f"if that is what you want: --mount type=bind,src={text},dst=PATH,insist",
        )


def _sockets_below(real: bytes) -> list[bytes]:
    """Return sockets of container engines in a folder: the known places, and its own entries."""
    found = {path for path in ENGINE_SOCKET_PATHS if path.startswith(real + b"/")}
    found.update(real + b"/" + name for name in ENGINE_SOCKETS)
    return sorted(path for path in found if os.path.lexists(path))


def _is_at(status: os.stat_result, path: bytes) -> bool:
    try:
        return os.path.samestat(status, os.stat(path))
    except OSError:
        return False


def _open_volume(mount: Mount, *, copies: bool) -> _Checked:
    """Open a folder of the store. What programs wrote below it is followed only inside it.

    `copies`: not another mount of this sandbox gets the environment's content copied into the same volume. In the order of
    their names, so that two starts never wait for each other's marker.
    """
    name = os.fsdecode(mount.source)
    try:
        fd = os.open(mount.source, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if not mount.subpath:
                return _Checked(fd, mount.source, (), _claim(mount.marker) if mount.marker and copies else -1)
            below = open_inside(fd, mount.subpath)
        except BaseException:
            os.close(fd)
            raise
    except OSError as error:
        what = f"{name}, path {os.fsdecode(mount.subpath)}" if mount.subpath else name
        raise SandboxError(f"volume {what}: {error.strerror}", hint="envgit volume ls") from error
    os.close(fd)
    return _Checked(below, os.readlink(b"/proc/self/fd/%d" % below), (), -1)


def _claim(path: bytes) -> int:
    """Return a volume's marker, locked: whoever else starts waits until the child that fills the volume closes it. -1: filled."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.pread(fd, 16, 0).startswith(USED):
            os.close(fd)
            return -1
        return fd
    except BaseException:
        os.close(fd)
        raise


def _copy_here(checked: dict[int, _Checked]) -> dict[int, int]:
    return {number: _clone(item.fd) for number, item in checked.items()}


def _copy_elsewhere(checked: dict[int, _Checked]) -> dict[int, int]:
    """Let a process that may mount, in a namespace of its own, make the detached mounts and hand them over."""
    if not checked:
        return {}
    handoff = Handoff()
    failure_read, failure_write = os.pipe()
    try:
        helper = linux.clone_process(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
        if helper == 0:
            status = 1
            try:
                for number, item in checked.items():
                    handoff.send(b"%d" % number, _clone_again(item))
                status = 0
            except OSError as error:
                os.write(failure_write, f"volume {os.fsdecode(item.path)}: {error.strerror}".encode(errors="replace"))
            except SandboxError as error:
                os.write(failure_write, error.message.encode(errors="surrogateescape"))
            finally:
                os._exit(status)
        copies: dict[int, int] = {}
        os.close(failure_write)
        failure_write = -1
        said = os.read(failure_read, 4096)  # nothing: the process ended well, or was killed
        status = wait_status(helper)
        copies = {int(name): fd for name, fd in handoff.receive().items()}
        if status or len(copies) < len(checked):
            for fd in copies.values():
                os.close(fd)
            reason = said.decode(errors="surrogateescape") or "the sources of volumes could not be opened"
            raise SandboxError(reason, hint="run it again; if it fails again: envgit doctor")
        return copies
    finally:
        handoff.close()
        os.close(failure_read)
        if failure_write >= 0:
            os.close(failure_write)


def _clone_again(item: _Checked) -> int:
    """Open the path in this mount namespace; it must still lead to what was checked."""
    fd = os.open(item.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not os.path.samestat(os.fstat(fd), os.fstat(item.fd)):
        raise SandboxError(f"volume {os.fsdecode(item.path)} was replaced while the sandbox was starting")
    return _clone(fd)


def _clone(fd: int) -> int:
    return linux.open_tree(fd, b"", linux.OPEN_TREE_CLONE | linux.AT_EMPTY_PATH | linux.AT_RECURSIVE)

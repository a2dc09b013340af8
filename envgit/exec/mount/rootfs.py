"""Operations that make the root: an overlay of our own, or the live root of a running sandbox."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress

from envgit.errors import HostUnsupported, SandboxError
from envgit.exec import linux
from envgit.exec.mount.place import Place, clone_mount, new_filesystem, restrict

ROOT_ATTRIBUTES = linux.MOUNT_ATTR_NODEV | linux.MOUNT_ATTR_NOSUID


class MountOverlay:
    """Mount an overlay and put it over `/` of this (private) mount namespace.

    Layers are opened before ids change, relative to the working directory: their folder may be 0700 of
    the caller, who is nobody in the user namespace. A descriptor inherited from the parent would not do: it belongs to
    the parent's mount namespace, whose mounts newer kernels refuse as layers. The working directory of a clone is the
    one thing that the kernel translates into the new mount namespace.
    """

    __slots__ = ("_fds", "lowers", "upper", "volatile", "work")

    def __init__(self, lowers: tuple[bytes, ...], upper: bytes, work: bytes, volatile: bool) -> None:
        """`lowers`, `upper`, `work` are relative to the working directory of the child."""
        self.lowers = lowers
        self.upper = upper
        self.work = work
        self.volatile = volatile
        self._fds: list[int] = []

    def describe(self) -> str:
        return f"overlay of {len(self.lowers)} layers on /{' (volatile)' if self.volatile else ''}"

    def open(self, place: Place) -> None:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        for path in (*self.lowers, self.upper, self.work):
            try:
                self._fds.append(os.open(path, flags))
            except OSError as error:
                raise SandboxError(f"layer folder {os.fsdecode(path)}: {error.strerror}") from error

    def execute(self, place: Place) -> None:
        *lowers, upper, work = self._fds
        place.root_fd = make_overlay(lowers, (upper, work), volatile=self.volatile)
        for fd in self._fds:
            os.close(fd)
        linux.move_mount(place.root_fd, slash := os.open(b"/", os.O_PATH | os.O_CLOEXEC))
        os.close(slash)


def make_overlay(
    lower_fds: Sequence[int], upper_and_work: tuple[int, int] | None = None, volatile: bool = False
) -> int:
    """Return a new, unattached overlay mount of directories that were opened in this mount namespace, nodev and nosuid.

    Without `upper_and_work` it is read-only, and needs two layers. Raises SandboxError with what the kernel said.
    """
    lowers = [b"/proc/self/fd/%d" % fd for fd in lower_fds]
    options: list[tuple[bytes, bytes]] = []
    if upper_and_work is not None:
        upper, work = (b"/proc/self/fd/%d" % fd for fd in upper_and_work)
        options = [(b"upperdir", upper), (b"workdir", work), (b"index", b"off"), (b"metacopy", b"off")]
    context = linux.fsopen(b"overlay")
    try:
        # userxattr also switches off redirect_dir and metacopy, which kernels refuse to be told again
        linux.fsconfig_flag(context, b"userxattr")
        for lower in lowers:
            linux.fsconfig_string(context, b"lowerdir+", lower)
        for key, value in options:
            linux.fsconfig_string(context, key, value)
        if volatile:
            linux.fsconfig_flag(context, b"volatile")
        linux.fsconfig_create(context)
        return linux.fsmount(context, ROOT_ATTRIBUTES)
    except OSError as error:
        # Before Linux 6.7 there is no "lowerdir+", which shows at the first use of it or not before the creation.
        fd = _mount_by_string(lowers, options, volatile) if error.errno == errno.EINVAL else None
        if fd is None:
            raise _overlay_refused(error, context) from error
        return fd
    finally:
        os.close(context)


def _mount_by_string(lowers: list[bytes], options: list[tuple[bytes, bytes]], volatile: bool) -> int | None:
    """Mount with mount(2), whose options fill a page (about 230 layers); None when that is refused as well.

    fsconfig is no way: a value has 255 bytes at most. mount(2) needs a place by name, so a tmpfs of this namespace, which
    goes with the old root, lends one.
    """
    words = [b"lowerdir=" + b":".join(lowers), b"userxattr"]
    words += [key + b"=" + value for key, value in options if key != b"metacopy"]
    data = b",".join(words + [b"volatile"] * volatile)
    staging = new_filesystem(b"tmpfs", ((b"mode", b"0700"),), ROOT_ATTRIBUTES)
    slash = os.open(b"/", os.O_PATH | os.O_CLOEXEC)
    try:
        linux.move_mount(staging, slash)
        os.mkdir(b"root", 0o700, dir_fd=staging)
        target = os.open(b"root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=staging)
        try:
            linux.mount_overlay(b"/proc/self/fd/%d" % target, data)
        except OSError:
            return None
        finally:
            os.close(target)
        return linux.open_tree(staging, b"root", linux.OPEN_TREE_CLONE)
    finally:
        os.fchdir(staging)
        with suppress(OSError):  # it was not attached
            linux.umount_detach(b".")  # left on `/`, it would keep pivot_root from replacing what lies below
        os.fchdir(slash)
        os.close(slash)
        os.close(staging)


class BindRoot:
    """Put a copy of a directory's mount over `/`: the finished root of an OCI bundle."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: bytes) -> None:
        """`path` is relative to the working directory of the child."""
        self.path = path
        self._fd = -1

    def describe(self) -> str:
        return f"directory {os.fsdecode(self.path)} on /"

    def open(self, place: Place) -> None:
        self._fd = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def execute(self, place: Place) -> None:
        place.root_fd = clone_mount(self._fd, recursive=True)
        os.close(self._fd)
        restrict(place.root_fd, ROOT_ATTRIBUTES, recursive=True)
        slash = os.open(b"/", os.O_PATH | os.O_CLOEXEC)
        linux.move_mount(place.root_fd, slash)
        os.close(slash)


class CloneLiveRoot:
    """Put a copy of the joined sandbox's root mount over `/`: the same overlay, none of the mounts inside it."""

    __slots__ = ()

    def describe(self) -> str:
        return "root of the running sandbox on /"

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        slash = os.open(b"/", os.O_PATH | os.O_CLOEXEC)
        place.root_fd = clone_mount(slash)
        linux.move_mount(place.root_fd, slash)
        os.close(slash)


def _overlay_refused(error: OSError, context: int) -> SandboxError:
    """Return an error with what the kernel said: a file system context collects messages that read(2) returns."""
    said: list[str] = []
    try:
        while len(said) < 10:
            said.append(os.read(context, 1024).decode("utf-8", "replace").strip())
    except OSError:
        pass
    detail = "; ".join(message[2:] for message in said if message[:1] == "e") or error.strerror
    if error.errno in (errno.ENODEV, errno.EPERM):
        return HostUnsupported(f"cannot mount an overlay in a user namespace: {detail}", hint="run `envgit doctor`")
    if error.errno == errno.EBUSY:
        return SandboxError(f"the changes folder is mounted by another sandbox: {detail}")
    if error.errno == errno.EINVAL:  # the usual reason: the mark that a volatile mount leaves in its work folder
        detail = f"{detail}; the work folder may be left from an unsynced run"
    return SandboxError(f"cannot mount the overlay: {detail}")

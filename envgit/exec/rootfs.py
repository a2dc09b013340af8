"""Operations that make the root: an overlay of our own, or the live root of a running sandbox."""

from __future__ import annotations

import errno
import os

from envgit.errors import HostUnsupported, SandboxError
from envgit.exec import linux
from envgit.exec.place import Place, clone_mount

ROOT_ATTRIBUTES = linux.MOUNT_ATTR_NODEV | linux.MOUNT_ATTR_NOSUID


class MountOverlay:
    """Mount an overlay and put it over `/` of this (private) mount namespace.

    Layers are opened before ids change, relative to the working directory: their folder may be 0700 of
    the caller, who is nobody in the user namespace. A descriptor inherited from the parent would not do: it belongs to
    the parent's mount namespace, whose mounts newer kernels refuse as layers. The working directory of a clone is the
    one thing that the kernel translates into the new mount namespace.
    """

    __slots__ = ("_fds", "lowers", "options", "upper", "volatile", "work")

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
        *lowers, upper, work = (b"/proc/self/fd/%d" % fd for fd in self._fds)
        context = linux.fsopen(b"overlay")
        try:
            # userxattr also switches off redirect_dir and metacopy, which kernels refuse to be told again
            linux.fsconfig_flag(context, b"userxattr")
            self._add_lowers(context, lowers)
            for key, value in ((b"upperdir", upper), (b"workdir", work), (b"index", b"off"), (b"metacopy", b"off")):
                linux.fsconfig_string(context, key, value)
            if self.volatile:
                linux.fsconfig_flag(context, b"volatile")
            linux.fsconfig_create(context)
            place.root_fd = linux.fsmount(context, ROOT_ATTRIBUTES)
        except OSError as error:
            raise _overlay_refused(error, context) from error
        finally:
            os.close(context)
        for fd in self._fds:
            os.close(fd)
        linux.move_mount(place.root_fd, slash := os.open(b"/", os.O_PATH | os.O_CLOEXEC))
        os.close(slash)

    @staticmethod
    def _add_lowers(context: int, lowers: list[bytes]) -> None:
        try:
            for lower in lowers:
                linux.fsconfig_string(context, b"lowerdir+", lower)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS) or lower != lowers[0]:
                raise
            # before Linux 6.5: one string, at most 255 bytes through fsconfig
            try:
                linux.fsconfig_string(context, b"lowerdir", b":".join(lowers))
            except OSError as too_long:
                raise SandboxError(
                    f"this kernel takes only about 14 layers and {len(lowers)} are needed",
                    hint="run `envgit gc` to flatten layers, or use Linux 6.5 or newer",
                ) from too_long


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

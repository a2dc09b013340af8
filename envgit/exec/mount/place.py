"""Where mount operations act: the root being built, and where everything made for it is remembered."""

from __future__ import annotations

import errno
import os

from envgit.exec import linux

_LEGACY_FLAGS = (
    (linux.MOUNT_ATTR_RDONLY, 0x1), (linux.MOUNT_ATTR_NOSUID, 0x2), (linux.MOUNT_ATTR_NODEV, 0x4),
    (linux.MOUNT_ATTR_NOEXEC, 0x8),
)  # fmt: skip


class Place:
    """The state that operations of one plan share; lives in the child between clone and exec only."""

    __slots__ = ("created", "dev_fd", "devpts_fd", "handed_over", "null_fd", "proc_fd", "protected_devices", "root_fd")

    def __init__(self) -> None:
        self.root_fd = -1
        self.dev_fd = -1
        self.devpts_fd = -1
        self.proc_fd = -1
        self.null_fd = -1
        self.handed_over: list[tuple[bytes, int]] = []
        """Descriptors for the monitor, by name: see handoff.py."""
        self.created: list[bytes] = []
        """Mount points made in the root file system, without leading slash."""
        self.protected_devices: set[int] = set()
        """st_dev of /proc, /sys and /dev: nothing of the caller's is mounted in them, whatever links say."""


def new_filesystem(kind: bytes, options: tuple[tuple[bytes, bytes], ...], attributes: int) -> int:
    """Return the descriptor of a new, unattached mount of a file system."""
    context = linux.fsopen(kind)
    try:
        for key, value in options:
            linux.fsconfig_string(context, key, value)
        linux.fsconfig_create(context)
        return linux.fsmount(context, attributes)
    finally:
        os.close(context)


def restrict(fd: int, attributes: int, *, recursive: bool, clear: int = 0) -> None:
    """Set attributes of an attached or unattached mount, with every mount below it when `recursive`.

    Before Linux 5.12 only an attached single mount can be changed: the caller attaches first, so both ways work.
    """
    try:
        linux.mount_setattr(fd, linux.AT_RECURSIVE if recursive else 0, attributes, clear)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        flags = sum(legacy for modern, legacy in _LEGACY_FLAGS if attributes & modern)
        linux.remount_bind(b"/proc/self/fd/%d" % fd, flags)


def attach(mount_fd: int, target_fd: int) -> None:
    """Attach a mount on an O_PATH descriptor and close that descriptor."""
    try:
        linux.move_mount(mount_fd, target_fd)
    finally:
        os.close(target_fd)


def clone_mount(fd: int, *, recursive: bool = False) -> int:
    """Return an unattached copy (a bind mount) of what `fd` shows."""
    flags = linux.OPEN_TREE_CLONE | linux.AT_EMPTY_PATH | (linux.AT_RECURSIVE if recursive else 0)
    return linux.open_tree(fd, b"", flags)

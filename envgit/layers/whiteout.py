"""The overlayfs conventions by which a directory tree says "deleted" and "replaced".

Source: the kernel's Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories". Both attribute
families are read; written is only the `user.` one, because every mount uses `userxattr`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from typing import Literal

from envgit.errors import CorruptObject, HostUnsupported

OPAQUE = "user.overlay.opaque"
_OPAQUE = frozenset(("user.overlay.opaque", "trusted.overlay.opaque"))
_FILE_WHITEOUT = frozenset(("user.overlay.whiteout", "trusted.overlay.whiteout"))
_INCOMPLETE = frozenset(
    (
        "user.overlay.redirect",
        "trusted.overlay.redirect",
        "user.overlay.metacopy",
        "trusted.overlay.metacopy",
    )
)


def is_whiteout(status: os.stat_result) -> bool:
    """Say whether a name with this lstat is a whiteout: a character device 0:0."""
    return status.st_rdev == 0 and stat.S_ISCHR(status.st_mode)


def is_file_whiteout(status: os.stat_result, attributes: Collection[str]) -> bool:
    """Say whether an empty regular file with these attribute names is a whiteout (kernel 6.7, "xwhiteout").

    Meant for files in a directory whose opacity is "xwhiteouts" only.
    """
    return status.st_size == 0 and stat.S_ISREG(status.st_mode) and not _FILE_WHITEOUT.isdisjoint(attributes)


def opacity(fd: int, attributes: Collection[str]) -> Literal["merged", "opaque", "xwhiteouts"]:
    """Return how the open directory `fd`, which has `attributes`, relates to the one below it."""
    for name in _OPAQUE.intersection(attributes):
        value = os.getxattr(fd, name)
        if value == b"y":
            return "opaque"
        if value == b"x":
            return "xwhiteouts"
    return "merged"


def refuse_incomplete(attributes: Collection[str]) -> None:
    """Raise CorruptObject when an upper directory's content is partly elsewhere (redirect_dir, metacopy)."""
    found = _INCOMPLETE.intersection(attributes)
    if found:
        raise CorruptObject(
            f"the upper directory has {min(found)}: it was mounted with redirect_dir or metacopy and is not complete"
        )


def make_whiteout(name: bytes, dir_fd: int) -> None:
    """Create a whiteout. Needs no privilege since Linux 5.8."""
    try:
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=dir_fd)
    except PermissionError as error:
        raise HostUnsupported("this kernel or its seccomp filter refuses to make overlayfs whiteouts") from error


def make_opaque(fd: int) -> None:
    """Mark the open directory as hiding what is below it."""
    os.setxattr(fd, OPAQUE, b"y")


def unmake_opaque(fd: int) -> None:
    """Take every opaque mark of the open directory away; none is fine."""
    for name in _OPAQUE.intersection(os.listxattr(fd)):
        os.removexattr(fd, name)

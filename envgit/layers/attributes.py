"""Ids, extended attributes and times between an Entry and a disk.

Everything on a disk is seen through DiskIds. Where a disk cannot hold what is recorded (an id outside the range,
`trusted.*` in a user namespace, an ACL naming an unmapped id) the recorded value is kept as metadata: reading
an inode against its recorded Entry gives that value back as long as the disk shows what writing it would have left.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

from envgit.errors import StorageError
from envgit.layers.metadata import is_stored_xattr
from envgit.model import DiskIds, Entry, Xattrs

CAPABILITY = b"security.capability"
ACLS = (b"system.posix_acl_access", b"system.posix_acl_default")
_CAP_REVISION_MASK = 0xFF000000
_CAP_REVISION_2 = 0x02000000
_CAP_REVISION_3 = 0x03000000
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_NAMED = (0x02, 0x08)
_ACL_PLAIN_BYTES = 4 + 3 * 8


def list_xattrs(fd: int) -> list[str]:
    """Return the attribute names of an open file; none where the filesystem has no attributes."""
    try:
        return os.listxattr(fd)
    except OSError:
        return []


def list_xattrs_at(dir_fd: int, name: bytes) -> tuple[bytes, list[str]]:
    """Return a path that reaches `name` in `dir_fd` (not followed) for attribute calls, and its attribute names."""
    path = b"/proc/self/fd/%d/%b" % (dir_fd, name)
    try:
        return path, os.listxattr(path, follow_symlinks=False)
    except OSError:
        return path, []


def read_xattrs(target: int | bytes, names: list[str], disk_ids: DiskIds, recorded: Xattrs) -> Xattrs:
    """Return the attributes that the format stores of an inode with the attribute `names`.

    `target` is a descriptor, or a path whose last name is not followed. `recorded`: see the module's text.
    """
    found: dict[bytes, bytes] = {}
    before = dict(recorded)
    for text in names:
        name = os.fsencode(text)
        if not is_stored_xattr(name):
            continue
        try:
            value = (
                os.getxattr(target, name)
                if isinstance(target, int)
                else os.getxattr(target, name, follow_symlinks=False)
            )
        except OSError:
            continue
        inside: bytes | None
        if name in before and xattr_to_disk(name, before[name], disk_ids) == value:
            inside = before[name]
        else:
            inside = xattr_from_disk(name, value, disk_ids)
        if inside is not None:
            found[name] = inside
    for name, value in recorded:
        if name not in found and (name.startswith(b"trusted.") or xattr_to_disk(name, value, disk_ids) is None):
            found[name] = value
    return tuple(sorted(found.items()))


def xattr_to_disk(name: bytes, value: bytes, disk_ids: DiskIds) -> bytes | None:
    """Return what setxattr(2) is given for a stored attribute; None if the disk cannot hold it as such."""
    if name == CAPABILITY:
        if disk_ids.shift and len(value) == 20:
            revision = int.from_bytes(value[:4], "little")
            head = (revision & ~_CAP_REVISION_MASK) | _CAP_REVISION_3
            return head.to_bytes(4, "little") + value[4:] + disk_ids.shift.to_bytes(4, "little")
        return value
    if name in ACLS:
        if name == ACLS[0] and len(value) <= _ACL_PLAIN_BYTES:
            return None
        return _map_acl(value, lambda inside: _exact_to_disk(inside, disk_ids))
    return value


def xattr_from_disk(name: bytes, value: bytes, disk_ids: DiskIds) -> bytes | None:
    """Return the form that the format stores of an attribute on disk; None: it is not the environment's."""
    if name == CAPABILITY and len(value) == 24:
        revision = int.from_bytes(value[:4], "little")
        if revision & _CAP_REVISION_MASK == _CAP_REVISION_3:
            if int.from_bytes(value[20:], "little") != disk_ids.to_disk(0):
                return None
            head = (revision & ~_CAP_REVISION_MASK) | _CAP_REVISION_2
            return head.to_bytes(4, "little") + value[4:20]
    if name in ACLS:
        return _map_acl(value, disk_ids.from_disk)
    return value


def write_attributes(
    fd: int, entry: Entry, disk_ids: DiskIds, owner: tuple[int, int], warn: Callable[[str], None]
) -> None:
    """Give the open file or directory its owner, attributes, mode and time, in this order.

    `owner` is what it was created with. What the disk cannot hold is warned about and left.
    """
    uid, gid = disk_ids.to_disk(entry.uid), disk_ids.to_disk(entry.gid)
    if owner != (uid, gid):
        change_owner(fd, uid, gid, entry.name)
    if entry.xattrs:
        write_xattrs(fd, entry, disk_ids, warn)
    os.fchmod(fd, entry.mode)
    os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))


def write_xattrs(target: int | bytes, entry: Entry, disk_ids: DiskIds, warn: Callable[[str], None]) -> None:
    """Set the attributes of an inode; `target` as in `read_xattrs`."""
    for name, value in entry.xattrs:
        on_disk = xattr_to_disk(name, value, disk_ids)
        if on_disk is None:
            continue
        try:
            if isinstance(target, int):
                os.setxattr(target, name, on_disk)
            else:
                os.setxattr(target, name, on_disk, follow_symlinks=False)
        except OSError as error:
            if not name.startswith(b"trusted."):
                shown = name.decode("utf-8", "backslashreplace")
                warn(f"{ascii(os.fsdecode(entry.name))}: attribute {shown} was not written: {error.strerror}")


def change_owner(fd: int, uid: int, gid: int, name: bytes) -> None:
    """fchown, with an error that says what to do."""
    try:
        os.fchown(fd, uid, gid)
    except OSError as error:
        raise StorageError(f"{ascii(os.fsdecode(name))} cannot be given to {uid}:{gid}: {error.strerror}") from error


def _exact_to_disk(inside: int, disk_ids: DiskIds) -> int | None:
    if inside >= disk_ids.ids or (disk_ids.single and inside):
        return None
    return disk_ids.to_disk(inside)


def _map_acl(value: bytes, convert: Callable[[int], int | None]) -> bytes | None:
    """Return a POSIX ACL (version 2, as getxattr gives it) with the ids of its named entries converted."""
    if len(value) < 4 or (len(value) - 4) % 8:
        return None
    parts = [value[:4]]
    for tag, permissions, number in _ACL_ENTRY.iter_unpack(value[4:]):
        if tag in _ACL_NAMED:
            mapped = convert(number)
            if mapped is None:
                return None
            number = mapped
        parts.append(_ACL_ENTRY.pack(tag, permissions, number))
    return b"".join(parts)

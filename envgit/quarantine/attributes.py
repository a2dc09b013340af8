"""Is there a kernel that would take what an entry says of its inode: its device number and extended attributes.

The format can spell more. Nobody who recorded files of a disk has it, and whoever writes it to one fails.
"""

from __future__ import annotations

from envgit.layers.attributes import ACLS, CAPABILITY
from envgit.layers.metadata import is_kernel_device
from envgit.model import Entry
from envgit.quarantine.errors import RefusedObjects

_VALUE_MAX_BYTES = 65536
"""XATTR_SIZE_MAX of linux/limits.h; the 255 bytes of a name are the format's own limit."""
_CAPABILITY_BYTES = 20
_CAPABILITY_REVISION = (0xFF000000, 0x02000000)
_ACL_VERSION = (2).to_bytes(4, "little")
_ACL_ENTRY_BYTES = 8


def check_attributes(entry: Entry) -> None:
    """Raise RefusedObjects naming the entry and what no Linux kernel accepts.

    `user.*` on what is no file or directory passes: archives of other systems have it, and writing it is no more than a warning.
    """
    if entry.device is not None and not is_kernel_device(entry.device):
        major, minor = entry.device
        raise RefusedObjects(f"{entry.name!r} is the device {major}:{minor}, a number that no Linux kernel has")
    for name, value in entry.xattrs:
        if len(value) > _VALUE_MAX_BYTES:
            raise RefusedObjects(
                f"{entry.name!r} has an attribute {name!r} of {len(value)} bytes; Linux keeps up to {_VALUE_MAX_BYTES}"
            )
        if (name == CAPABILITY and not _is_capability(value)) or (name in ACLS and not _is_acl(value)):
            raise RefusedObjects(f"{entry.name!r} has a {name.decode()} that is none")


def _is_capability(value: bytes) -> bool:
    mask, revision = _CAPABILITY_REVISION
    return len(value) == _CAPABILITY_BYTES and int.from_bytes(value[:4], "little") & mask == revision


def _is_acl(value: bytes) -> bool:
    body = len(value) - len(_ACL_VERSION)
    return value.startswith(_ACL_VERSION) and body % _ACL_ENTRY_BYTES == 0

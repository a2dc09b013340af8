"""Extended attributes of archive members: what the format keeps, in the form it keeps it."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from envgit.layers.metadata import is_stored_xattr
from envgit.layers.sources.acl_text import parse_acl
from envgit.layers.sources.tar_pax import libarchive_attribute
from envgit.model import Xattrs

_ACLS = {
    b"SCHILY.acl.access": b"system.posix_acl_access",
    b"SCHILY.acl.default": b"system.posix_acl_default",
}
_HOST_POLICY = (b"security.", b"system.", b"user.overlay.", b"trusted.overlay.")
_MAX_VALUE_BYTES = 65536


def read_attributes(headers: Mapping[bytes, bytes]) -> tuple[Xattrs, list[str]]:
    """Return the attributes in PAX `headers` that the format stores, and a reason for each that had to be left out.

    Attributes of the host's policy (security.selinux, ...) are none of the environment's and give no reason.
    """
    found: dict[bytes, bytes] = {}
    reasons: list[str] = []
    for key, value in headers.items():
        if key.startswith(b"LIBARCHIVE.xattr."):
            pair = libarchive_attribute(key, value)
            if pair is None:
                reasons.append(f"the attribute {key.decode(errors='replace')} is malformed")
            else:
                found.setdefault(*pair)
        elif key in _ACLS and value.strip():
            acl = parse_acl(value)
            if acl is None:
                reasons.append("its ACL is malformed or names users without their ids")
            elif len(acl) > 4 + 3 * 8 or key == b"SCHILY.acl.default":
                found.setdefault(_ACLS[key], acl)
    for key, value in headers.items():
        if key.startswith(b"SCHILY.xattr."):
            found[key.removeprefix(b"SCHILY.xattr.")] = value
    kept: list[tuple[bytes, bytes]] = []
    for name, value in sorted(found.items()):
        shown = name.decode("ascii", "backslashreplace")
        stored: bytes | None = value
        if not is_stored_xattr(name):
            if not name.startswith(_HOST_POLICY):
                reasons.append(f"the attribute {shown} is of no kind that Linux keeps")
            continue
        if name == b"security.capability":
            stored = capability_v2(value)
        if stored is None or len(stored) > _MAX_VALUE_BYTES or len(name) > 255 or b"\0" in name:
            reasons.append(f"the attribute {shown} is malformed")
            continue
        kept.append((name, stored))
    return tuple(kept), reasons


def capability_v2(value: bytes) -> bytes | None:
    """Return a file capability as version 2 (20 bytes): a version 3 loses its root id. None if it is neither."""
    if len(value) not in (20, 24):
        return None
    (magic,) = struct.unpack_from("<I", value)
    revision, flags = magic & 0xFF000000, magic & 0x00FFFFFF
    if (revision, len(value)) not in ((0x02000000, 20), (0x03000000, 24)):
        return None
    return struct.pack("<I", 0x02000000 | flags) + value[4:20]

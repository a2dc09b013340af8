"""The 512-byte tar header block and its numbers (ustar, GNU, V7)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from envgit.errors import HostileInput

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)

_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s6s2s32s32s8s8s155s12x")


class Header(NamedTuple):
    """A header block as it stands: no extended header is applied yet."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    type: bytes
    linkname: bytes
    major: int
    minor: int
    block: bytes
    """The whole block; old GNU sparse maps are in it."""


class BadHeader(ValueError):
    """The block is no tar header; the text says why."""


def padding(size: int) -> int:
    """Return how many bytes fill `size` up to whole blocks."""
    return -size % BLOCK


def parse_header(block: bytes) -> Header:
    """Return the parsed `block`. Raises BadHeader."""
    (name, mode, uid, gid, size, mtime, checksum, type_, linkname, magic, _, _, _, major, minor, prefix) = (
        _FIELDS.unpack(block)
    )
    _check(block, checksum)
    name = _until_nul(name)
    device = type_ in (b"3", b"4")
    if magic == b"ustar\0" and (prefix := _until_nul(prefix)):
        name = prefix + b"/" + name
    return Header(
        name=name,
        mode=number(mode) & 0o7777,
        uid=number(uid),
        gid=number(gid),
        size=size_number(size),
        mtime=number(mtime),
        type=b"0" if type_ == b"\0" else type_,
        linkname=_until_nul(linkname),
        major=number(major) if device else 0,
        minor=number(minor) if device else 0,
        block=block,
    )


def number(field: bytes) -> int:
    """Return a numeric field: octal text, or base-256 when the top bit is set. Raises BadHeader."""
    first = field[0]
    if first == 0x80:
        return int.from_bytes(field[1:], "big")
    if first == 0xFF:
        return int.from_bytes(field, "big", signed=True)
    text = field.split(b"\0", 1)[0].strip()
    if not text:
        return 0
    try:
        return int(text, 8)
    except ValueError:
        raise BadHeader(f"{field!r} is no number") from None


def size_number(field: bytes) -> int:
    """Return a number that counts bytes. Raises BadHeader if it is negative or beyond 2**63."""
    value = number(field)
    if not 0 <= value < 1 << 63:
        raise BadHeader(f"{value} is no size")
    return value


def check_id(value: int, what: str, name: bytes) -> int:
    """Return `value` if it can be a user or group id; HostileInput otherwise."""
    if not 0 <= value <= 4294967294:
        raise HostileInput(
            f"the {what} {value} of {display(name)} is no id",
            hint="make the archive again with --owner and --group, or --numeric-owner",
        )
    return value


def display(name: bytes) -> str:
    """Return `name` for a message: printable, at most about 200 characters."""
    text = name.decode("utf-8", "backslashreplace")
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return safe if len(safe) <= 200 else safe[:100] + "..." + safe[-97:]


def _check(block: bytes, field: bytes) -> None:
    wanted = number(field)
    others = 256 - sum(field)
    actual = sum(block) + others
    if wanted == actual:
        return
    # Some old programs summed signed characters.
    high = sum(1 for byte in block if byte >= 128) - sum(1 for byte in field if byte >= 128)
    if wanted != actual - 256 * high:
        raise BadHeader("its checksum is wrong")


def _until_nul(field: bytes) -> bytes:
    end = field.find(b"\0")
    return field if end < 0 else field[:end]

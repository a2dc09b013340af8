"""POSIX ACLs: the text that archives hold, and the bytes that the kernel and the format hold."""

from __future__ import annotations

import struct
from typing import Final

_VERSION: Final = 2
_UNDEFINED_ID: Final = 0xFFFFFFFF
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_ENTRY = struct.Struct("<HHI")
_WORDS = {b"user": _USER, b"u": _USER, b"group": _GROUP, b"g": _GROUP, b"mask": _MASK, b"m": _MASK,
          b"other": _OTHER, b"o": _OTHER}  # fmt: skip
_NAMES = {_USER_OBJ: "user", _USER: "user", _GROUP_OBJ: "group", _GROUP: "group", _MASK: "mask", _OTHER: "other"}
_REQUIRED = {_USER_OBJ, _GROUP_OBJ, _OTHER}


def parse_acl(text: bytes) -> bytes | None:
    """Return the attribute value of an ACL text (long or short form, one entry a line or separated by commas).

    A name is accepted when the entry ends with its numeric id, as star and libarchive write it. None:
    the text is malformed or names somebody without an id.
    """
    entries: list[tuple[int, int, int]] = []
    for line in text.replace(b"\n", b",").split(b","):
        line = line.partition(b"#")[0].strip()
        if not line:
            continue
        fields = line.split(b":")
        tag = _WORDS.get(fields[0].strip())
        if tag is None:
            return None
        if tag in (_MASK, _OTHER) and len(fields) == 2:
            fields.insert(1, b"")
        if len(fields) not in (3, 4):
            return None
        permissions = _permissions(fields[2].strip())
        if permissions is None:
            return None
        who = fields[1].strip()
        if not who:
            identity = _UNDEFINED_ID
            tag = {_USER: _USER_OBJ, _GROUP: _GROUP_OBJ}.get(tag, tag)
        else:
            number = fields[3].strip() if len(fields) == 4 else who
            if tag not in (_USER, _GROUP) or not number.isdigit() or int(number) >= _UNDEFINED_ID:
                return None
            identity = int(number)
        entries.append((tag, identity, permissions))
    entries.sort()
    if not {tag for tag, _, _ in entries} >= _REQUIRED or len({entry[:2] for entry in entries}) != len(entries):
        return None
    return struct.pack("<I", _VERSION) + b"".join(_ENTRY.pack(tag, bits, who) for tag, who, bits in entries)


def format_acl(value: bytes) -> bytes | None:
    """Return the text of an attribute value, or None if it is not one."""
    if len(value) < 4 or (len(value) - 4) % _ENTRY.size or struct.unpack_from("<I", value)[0] != _VERSION:
        return None
    parts = []
    for tag, bits, who in _ENTRY.iter_unpack(value[4:]):
        if tag not in _NAMES:
            return None
        identity = str(who) if tag in (_USER, _GROUP) else ""
        mode = "".join(letter if bits & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
        # The fourth field keeps readers from looking the number up as a name.
        parts.append(f"{_NAMES[tag]}:{identity}:{mode}" + (f":{identity}" if identity else ""))
    return ",".join(parts).encode()


def _permissions(text: bytes) -> int | None:
    bits = 0
    for letter in text:
        if letter == 0x2D:
            continue
        bit = {0x72: 4, 0x77: 2, 0x78: 1}.get(letter)
        if bit is None:
            return None
        bits |= bit
    return bits

"""Names in text: `\\ooo` for every byte that would not be one printable word (docs/format.md section 4)."""

from __future__ import annotations

_SAFE = bytes(byte for byte in range(0x21, 0x7F) if byte != 0x5C)
_SPELLINGS = tuple(bytes((byte,)) if byte in _SAFE else b"\\%03o" % byte for byte in range(256))
_OCTAL = frozenset(b"01234567")


def escape(raw: bytes) -> bytes:
    """Return `raw` with bytes <= 0x20, >= 0x7f and backslash as three octal digits."""
    if not raw.translate(None, _SAFE):
        return raw
    return b"".join([_SPELLINGS[byte] for byte in raw])


def unescape(text: bytes) -> bytes:
    """Undo `escape` (also of attribute names); other text is returned as it is: callers check the round trip."""
    if b"\\" not in text:
        return text
    first, *rest = text.split(b"\\")
    return first + b"".join([_decode(part) for part in rest])


def _decode(part: bytes) -> bytes:
    """Decode what follows a backslash."""
    digits = part[:3]
    if len(digits) < 3 or not _OCTAL.issuperset(digits) or digits > b"377":
        return b"\\" + part
    return bytes((int(digits, 8),)) + part[3:]

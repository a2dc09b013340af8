"""Object ids: 20 bytes, or 40 lower-case hex digits for people. Apart from `objects` because refs need no more."""

from __future__ import annotations

from envgit.errors import InvalidName

OID_BYTES = 20
ZERO_OID = bytes(OID_BYTES)
_HEX_DIGITS = frozenset("0123456789abcdef")


def parse_oid(text: str) -> bytes:
    """Return the 20 bytes of 40 lower-case hex digits; raises InvalidName."""
    if len(text) != 2 * OID_BYTES or not _HEX_DIGITS.issuperset(text):
        raise InvalidName(f"{text[:80]!r} is not an object id")
    return bytes.fromhex(text)

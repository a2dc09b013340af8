"""PAX extended headers: records, numbers, times, attributes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from envgit.errors import HostileInput
from envgit.layers.sources.tar_header import display

_MAX_TIME = (1 << 63) - 1


def iter_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (keyword, value) of an extended header in order. Raises ValueError when it is malformed."""
    position, end = 0, len(data)
    while position < end and data[position] != 0:
        space = data.find(b" ", position, position + 20)
        if space < 0:
            raise ValueError("a record has no length")
        digits = data[position:space]
        if not digits.isdigit():
            raise ValueError(f"{digits!r} is no record length")
        stop = position + int(digits)
        equals = data.find(b"=", space + 1, stop)
        if stop > end or equals < 0 or stop <= space + 2 or data[stop - 1] != 0x0A:
            raise ValueError("a record does not end where its length says")
        yield data[space + 1 : equals], data[equals + 1 : stop - 1]
        position = stop


def parse_integer(value: bytes, what: str, name: bytes) -> int:
    """Return a decimal number; HostileInput names the member and the keyword."""
    text = value.strip()
    if not text.removeprefix(b"-").isdigit() or len(text) > 20:
        raise HostileInput(
            f"the extended header of {display(name)} has a bad {what}: {display(value)}", hint="make the archive again"
        )
    return int(text)


def parse_time(value: bytes, name: bytes) -> int:
    """Return nanoseconds of a decimal number of seconds, exactly; digits beyond the ninth are dropped (floor)."""
    text = value.strip()
    negative = text.startswith(b"-")
    seconds, _, fraction = text.removeprefix(b"-").partition(b".")
    if not (seconds + fraction).isdigit() or len(seconds) > 20 or (fraction and not fraction.isdigit()):
        raise HostileInput(
            f"the extended header of {display(name)} has a bad mtime: {display(value)}", hint="make the archive again"
        )
    ns = int(seconds or b"0") * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    if negative:
        return -ns - (1 if fraction[9:].strip(b"0") else 0)
    return ns


def clamp_time(ns: int) -> int:
    """Return the nearest time that fits 64 bits."""
    return max(-_MAX_TIME, min(_MAX_TIME, ns))


def libarchive_attribute(keyword: bytes, value: bytes) -> tuple[bytes, bytes] | None:
    """Return (name, value) of a LIBARCHIVE.xattr record: percent-encoded name, base64 without padding."""
    name = keyword.removeprefix(b"LIBARCHIVE.xattr.")
    try:
        from urllib.parse import unquote_to_bytes

        return unquote_to_bytes(name), base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None

"""Durations as Go writes them: 1m30s, 1.5h, 300ms."""

from __future__ import annotations

import re

from envgit.dockerfile.errors import ExpansionError

_UNITS_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_MAX_NS = 2**63 - 1


def format_duration(amount_ns: int) -> str:
    """Return the shortest text that parse_duration gives the same nanoseconds for, from whole units: 1m30s."""
    if not amount_ns:
        return "0s"
    text = ""
    for unit in ("h", "m", "s", "ms", "us", "ns"):
        count, amount_ns = divmod(amount_ns, _UNITS_NS[unit])
        text += f"{count}{unit}" if count else ""
    return text


def parse_duration(text: str) -> int:
    """Return nanoseconds; raises ExpansionError for what is no duration, negative, or too long for 64 bits."""
    total_ns = 0
    at = 0
    digits = text.removeprefix("+")
    while at < len(digits) and digits != "0":
        part = _PART.match(digits, at)
        if not part or not (part[1] or part[2]) or len(part[0]) > 64:
            break
        unit_ns, fraction = _UNITS_NS[part[3]], part[2] or ""
        total_ns += int(part[1] or 0) * unit_ns + int(fraction or 0) * unit_ns // 10 ** len(fraction)
        at = part.end()
    else:
        if digits and total_ns <= _MAX_NS:
            return total_ns
    raise ExpansionError(f"'{text}' is no duration", hint="write a number and a unit: 30s 1m30s 500ms 1h")

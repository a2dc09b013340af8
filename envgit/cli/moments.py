"""Moments as `--since` and `--until` take them: how long ago, a date, or seconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from envgit.errors import UsageError

_NS = 1_000_000_000
_UNITS = {"h": 3600 * _NS, "m": 60 * _NS, "s": _NS, "ms": 1_000_000, "us": 1_000, "ns": 1, "d": 86_400 * _NS}
_DURATION = r"(?:\d+(?:\.\d+)?(?:ms|us|ns|d|h|m|s))+"


def parse_moment(text: str, now_ns: int) -> int:
    """Return ns since the epoch for `10m`, `1h30m`, `2026-01-31`, `2026-01-31T23:59:59.5Z`, `1769900000.25`. Raises UsageError."""
    if re.fullmatch(_DURATION, text, re.ASCII):
        parts = re.findall(r"(\d+(?:\.\d+)?)([a-z]+)", text)
        return now_ns - sum(_scaled(number, _UNITS[unit]) for number, unit in parts)
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return _scaled(text, _NS)
    match = re.fullmatch(
        r"(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?", text, re.ASCII
    )
    if match:
        seconds, fraction, zone = match.groups()
        try:
            moment = datetime.fromisoformat(seconds + (zone or "").replace("Z", "+00:00") if "T" in text else seconds)
            moment = moment if moment.tzinfo else moment.astimezone()
            epoch = datetime(1970, 1, 1, tzinfo=UTC)
            passed = moment - epoch
            return (passed.days * 86_400 + passed.seconds) * _NS + int((fraction or "0").ljust(9, "0"))
        except (ValueError, OverflowError):
            pass
    raise UsageError(
        f"{text!r} is no moment", hint="how long ago (10m, 1h30m), 2026-01-31T23:59:59Z, or seconds since 1970"
    )


def _scaled(number: str, unit_ns: int) -> int:
    whole, _, fraction = number.partition(".")
    return int(whole) * unit_ns + int((fraction or "0")[:9].ljust(9, "0")) * unit_ns // _NS

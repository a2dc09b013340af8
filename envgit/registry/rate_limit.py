"""How much a registry allows, as it says in its headers.

Source: RFC 9110 section 10.2.3 (Retry-After); Docker Hub's `RateLimit-Limit: 100;w=21600` and `RateLimit-Remaining`, after an early
draft of the IETF's RateLimit header fields.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Callable
from email.utils import parsedate
from typing import Final

_FIELD: Final = re.compile(r"\s*(\d{1,12})\s*(?:[,;].*)?")
_WINDOW: Final = re.compile(r";\s*w=(\d{1,9})\b")
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_MOST_SECONDS: Final = 10 * 365 * 86_400


def retry_seconds(header: Callable[[str], str]) -> float | None:
    """Return how long a registry asks to wait, in seconds; None when it does not say. A date is measured by its own clock."""
    said = header("Retry-After").strip()[:100]
    if said.isdecimal() and said.isascii():
        return float(min(int(said[:12]), _MOST_SECONDS))
    until, now = _moment(said), _moment(header("Date").strip()[:100])
    return None if until is None or now is None else float(min(max(until - now, 0), _MOST_SECONDS))


def describe_limit(header: Callable[[str], str]) -> str:
    """Return what the headers say, such as "it allows 100 in 6 hours, 0 are left; try again in 20 minutes"; "" for nothing."""
    parts = []
    limit, left = _number(header("RateLimit-Limit")), _number(header("RateLimit-Remaining"))
    window = _WINDOW.search(header("RateLimit-Limit")[:200])
    if limit is not None:
        span = f" in {format_seconds(int(window[1]))}" if window else ""
        parts.append(f"it allows {limit:,}{span}" + (f", {left:,} are left" if left is not None else ""))
    wait = retry_seconds(header)
    if wait is not None:
        parts.append(f"try again in {format_seconds(round(wait))}")
    return "; ".join(parts)


def format_seconds(seconds: int) -> str:
    """Return a span in its largest unit, rounded up: nobody comes back too early."""
    for size, name in _UNITS:
        if seconds >= size:
            count = -(-seconds // size)
            return f"{count:,} {name}" + ("s" if count != 1 else "")
    return "a moment"


def _moment(text: str) -> int | None:
    try:
        parts = parsedate(text)
        return timegm(parts) if parts is not None else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _number(text: str) -> int | None:
    match = _FIELD.fullmatch(text[:200])
    return int(match[1]) if match else None

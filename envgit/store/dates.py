"""Dates as people type them for `@{...}`, --since and GIT_COMMITTER_DATE: the forms of git's approxidate in use."""

from __future__ import annotations

import re
import time

from envgit.errors import UsageError

_UNITS = {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "day": 86400, "week": 604800}
_RELATIVE = re.compile(r"(?:(\d+|an?|one|two|three|four|five|six|seven|eight|nine|ten)[ ._-]+)([a-z]+)(?:[ ._-]+ago)?")
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ISO = re.compile(
    r"(\d{4})[-./](\d{1,2})[-./](\d{1,2})(?:[T ._]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?\s*(Z|[+-]\d{2}:?\d{2})?"
)
_RAW = re.compile(r"@?(\d{5,})(?:\s+[+-]\d{4})?")


def format_offset(seconds: int) -> str:
    """Return the local zone's offset at a time as `+hhmm`."""
    minutes = time.localtime(seconds).tm_gmtoff // 60
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


def parse_offset(text: str) -> int:
    """Return `+hhmm`, `+hh:mm` or `Z` in seconds."""
    if text == "Z":
        return 0
    digits = text[1:].replace(":", "")
    return (1 if text[0] == "+" else -1) * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)


def parse_date(text: str, now: int) -> int:
    """Return seconds since the epoch. As in git, a date without a time of day means the present time on that day.

    Understood: ISO 8601, RFC 2822, seconds, now, today, midnight, yesterday, last week and its like, `2 days ago`,
    `3.hours.ago`, sums of those. Raises UsageError.
    """
    plain = text.strip()
    word = plain.lower()
    if match := _RAW.fullmatch(plain):
        return int(match[1])
    if match := _ISO.fullmatch(plain):
        return _from_iso(match, now, text)
    moment = _from_words(word, now)
    if moment is None:
        moment = _from_mail(plain)
    if moment is None:
        hint = "write it as 2026-03-01, '2026-03-01 14:00', yesterday or 2.days.ago"
        raise UsageError(f"{text!r} is not a date", hint=hint)
    return moment


def _from_iso(match: re.Match[str], now: int, text: str) -> int:
    from calendar import timegm

    local = time.localtime(now)
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    clock = local.tm_hour, local.tm_min, local.tm_sec
    if match[4] is not None:
        clock = int(match[4]), int(match[5]), int(match[6] or 0)
    if not (1 <= month <= 12 and 1 <= day <= 31 and clock[0] < 25 and clock[1] < 60 and clock[2] < 61):
        raise UsageError(f"{text!r} is not a date")
    if match[7]:
        return timegm((year, month, day, *clock)) - parse_offset(match[7])
    return int(time.mktime((year, month, day, *clock, 0, 0, -1)))


def _from_words(word: str, now: int) -> int | None:
    local = time.localtime(now)
    if word in ("now", ""):
        return now if word else None
    if word in ("today", "midnight"):
        return int(time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 0, 0, 0, 0, 0, -1)))
    if word == "yesterday":
        return now - 86400
    if word.startswith("last"):
        word = "1 " + word[4:].lstrip(" ._-")
    moment, position = now, 0
    while position < len(word):
        match = _RELATIVE.match(word, position)
        if match is None:
            return None
        amount = int(match[1]) if match[1].isdigit() else max(1, _WORDS.index(match[1]) if match[1] in _WORDS else 1)
        unit = match[2].removesuffix("s")
        if unit in _UNITS:
            moment -= amount * _UNITS[unit]
        elif unit in ("month", "year"):
            moment = _months_before(moment, amount * (12 if unit == "year" else 1))
        else:
            return None
        position = match.end()
        while position < len(word) and word[position] in " ._-,":
            position += 1
    return moment


def _months_before(moment: int, months: int) -> int:
    local = time.localtime(moment)
    index = local.tm_year * 12 + local.tm_mon - 1 - months
    return int(time.mktime((index // 12, index % 12 + 1, *local[2:6], 0, 0, -1)))


def _from_mail(text: str) -> int | None:
    from email.utils import mktime_tz, parsedate_tz

    fields = parsedate_tz(text)
    return int(mktime_tz(fields)) if fields is not None else None

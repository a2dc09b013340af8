"""Dates of commits in git's formats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from envgit.errors import UsageError

DATE_FORMATS: Final = (
    "default",
    "iso",
    "iso8601",
    "iso-strict",
    "iso8601-strict",
    "rfc",
    "rfc2822",
    "short",
    "relative",
    "human",
    "raw",
    "unix",
    "local",
)
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def check_date_format(style: str) -> str:
    """Return `style` when it is known; raises UsageError."""
    if style not in DATE_FORMATS and not style.startswith("format:"):
        known = ", ".join(DATE_FORMATS)
        raise UsageError(f"unknown date format '{style}'", hint=f"one of: {known}, format:STRFTIME")
    return style


def format_date(seconds: int, offset: str, style: str, now: float) -> str:
    """Return a date as git's --date=STYLE prints it. `now` is the clock's time, for relative dates."""
    if style == "raw":
        return f"{seconds} {offset}"
    if style == "unix":
        return str(seconds)
    if style == "relative":
        return relative_date(seconds, now)
    if len(offset) != 5 or not offset[1:].isdigit():
        offset = "+0000"
    moment = _moment(seconds, offset)
    if style == "local":
        local = datetime.fromtimestamp(seconds).astimezone()
        return _default(local)
    if style in ("iso", "iso8601"):
        return f"{moment:%Y-%m-%d %H:%M:%S} {offset}"
    if style in ("iso-strict", "iso8601-strict"):
        return f"{moment:%Y-%m-%dT%H:%M:%S}{offset[:3]}:{offset[3:]}"
    if style in ("rfc", "rfc2822"):
        month = _MONTHS[moment.month - 1]
        return f"{_DAYS[moment.weekday()]}, {moment.day} {month} {moment.year} {moment:%H:%M:%S} {offset}"
    if style == "short":
        return f"{moment:%Y-%m-%d}"
    if style == "human":
        return _human(moment, seconds, now)
    if style.startswith("format:"):
        return moment.strftime(style.removeprefix("format:"))
    return f"{_default(moment)} {offset}"


def _moment(seconds: int, offset: str) -> datetime:
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    shift = timedelta(minutes=-minutes if offset[0] == "-" else minutes)
    try:
        return datetime.fromtimestamp(seconds, timezone(shift))
    except (OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(0, UTC)


def _default(moment: datetime) -> str:
    day = f"{_DAYS[moment.weekday()]} {_MONTHS[moment.month - 1]} {moment.day}"
    return f"{day} {moment:%H:%M:%S} {moment.year}"


def _human(moment: datetime, seconds: int, now: float) -> str:
    if now - seconds < 86400:
        return relative_date(seconds, now)
    day = f"{_MONTHS[moment.month - 1]} {moment.day}"
    if moment.year == _moment(int(now), "+0000").year:
        return f"{_DAYS[moment.weekday()]} {day} {moment:%H:%M}"
    return f"{day} {moment.year}"


def relative_date(seconds: int, now: float) -> str:
    """Return `3 minutes ago`, with git's thresholds and rounding."""
    passed = int(now) - seconds
    if passed < 0:
        return "in the future"
    if passed < 90:
        return _ago(passed, "second")
    minutes = (passed + 30) // 60
    if minutes < 90:
        return _ago(minutes, "minute")
    hours = (minutes + 30) // 60
    if hours < 36:
        return _ago(hours, "hour")
    days = (hours + 12) // 24
    if days < 14:
        return _ago(days, "day")
    if days < 70:
        return _ago((days + 3) // 7, "week")
    if days < 365:
        return _ago((days + 15) // 30, "month")
    if days < 1825:
        years, months = divmod((days * 12 * 2 + 365) // (365 * 2), 12)
        if months:
            return f"{years} year{'s' * (years != 1)}, {_ago(months, 'month')}"
        return _ago(years, "year")
    return _ago((days + 183) // 365, "year")


def _ago(count: int, unit: str) -> str:
    return f"{count} {unit}{'s' * (count != 1)} ago"

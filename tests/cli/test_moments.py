"""Moments of --since and --until."""

from __future__ import annotations

import pytest

from envgit.cli.moments import parse_moment
from envgit.errors import UsageError

NOW_NS = 1_800_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "moment_ns"),
    [
        ("10m", NOW_NS - 600 * 10**9),
        ("1h30m", NOW_NS - 5400 * 10**9),
        ("1.5s", NOW_NS - 1_500_000_000),
        ("250ms", NOW_NS - 250_000_000),
        ("0", 0),
        ("1769900000.25", 1_769_900_000_250_000_000),
        ("1970-01-01T00:00:01Z", 10**9),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2016-10-06T00:17:09.669794202Z", 1_475_713_029_669_794_202),
    ],
)
def test_moments(text: str, moment_ns: int) -> None:
    assert parse_moment(text, NOW_NS) == moment_ns


def test_a_date_is_local() -> None:
    assert parse_moment("1970-01-02", NOW_NS) % (900 * 10**9) == 0


@pytest.mark.parametrize("text", ["", "yesterday", "-5m", "10x", "2026-13-01", "2026-01-01T25:00:00Z", "١٠m", "1m "])
def test_no_moments(text: str) -> None:
    with pytest.raises(UsageError):
        parse_moment(text, NOW_NS)

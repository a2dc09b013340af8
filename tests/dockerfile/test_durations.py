"""Durations: the text that is shortest, and read back as the same nanoseconds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.dockerfile.durations import format_duration, parse_duration


@given(st.integers(0, 2**63 - 1))
def test_a_duration_is_read_back(amount_ns: int) -> None:
    assert parse_duration(format_duration(amount_ns)) == amount_ns


@pytest.mark.parametrize(
    ("amount_ns", "text"),
    [
        (0, "0s"),
        (5_000_000_000, "5s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h"),
        (1_500_001, "1ms500us1ns"),
    ],
)
def test_how_a_duration_is_written(amount_ns: int, text: str) -> None:
    assert format_duration(amount_ns) == text

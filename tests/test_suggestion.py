"""Known words that a wrong one was probably meant to be."""

from __future__ import annotations

import pytest

from envgit.suggestion import did_you_mean, nearest, nearest_few, suggest

KNOWN = ("run", "reset", "restore", "with {braces}")


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("rum", "run"),
        ("run", "run"),
        ("restor", "restore"),
        ("xyz", None),
        ("", None),
        ("with braces", "with {braces}"),
    ],
)
def test_the_nearest(word: str, near: str | None) -> None:
    assert nearest(word, KNOWN) == near
    assert did_you_mean(word, KNOWN, "<{}>") == (near and f"did you mean <{near}>?")


def test_a_long_word_is_not_compared() -> None:
    long = "a" * 10_000_000
    assert nearest(long, [long]) is None and nearest("a", [long]) is None
    assert nearest("a" * 255, ["a" * 254]) == "a" * 254


def test_several() -> None:
    assert nearest_few("rest", KNOWN) == ["reset", "restore"]
    assert nearest_few("rest", KNOWN, 1) == ["reset"]
    assert nearest("ab", ["cb"]) is None and nearest("ab", ["cb"], 0.5) == "cb"


def test_the_known_words_when_none_is_near() -> None:
    assert suggest("xyz", {"b", "a"}, "--{}") == "known: --a --b"
    assert suggest("restor", KNOWN) == "did you mean restore?"

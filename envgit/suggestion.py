"""Name the known word that a wrong one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_LETTERS = 255
"""Of a word that is compared: the time grows with the square."""
_LIKENESS = 0.6


def nearest(word: str, known: Iterable[str], likeness: float = _LIKENESS) -> str | None:
    """Return the known word that is most like the other one; None when none is. `likeness`: from 0 to 1, of equal words."""
    return next(iter(nearest_few(word, known, 1, likeness)), None)


def nearest_few(word: str, known: Iterable[str], count: int = 3, likeness: float = _LIKENESS) -> list[str]:
    """Return the known words that are like the other one, at most `count`, the best first."""
    from difflib import get_close_matches  # only what is wrong needs it

    if len(word) > _MOST_LETTERS:
        return []
    return get_close_matches(word, sorted(known), count, likeness)


def did_you_mean(word: str, known: Iterable[str], form: str = "{}", likeness: float = _LIKENESS) -> str | None:
    """Return "did you mean ...?" for the nearest word, written as `form`; None when none is near."""
    near = nearest(word, known, likeness)
    return f"did you mean {form.format(near)}?" if near else None


def suggest(word: str, known: Iterable[str], form: str = "{}") -> str:
    """Return "did you mean ...?", or the list of known words when none is near."""
    known = sorted(known)
    return did_you_mean(word, known, form) or f"known: {' '.join(map(form.format, known))}"

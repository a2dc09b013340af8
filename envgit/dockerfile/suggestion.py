"""Name the known word that a wrong one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like the other one; None when none is."""
    from difflib import get_close_matches  # only what is wrong needs it

    if len(word) > 50:
        return None
    return next(iter(get_close_matches(word, sorted(known), n=1)), None)


def suggest(word: str, known: Iterable[str], form: str = "{}") -> str:
    """Return "did you mean ...?", or the list of known words when none is near. `form`: how to write one."""
    known = sorted(known)
    near = nearest(word, known)
    if near:
        return f"did you mean {form.format(near)}?"
    return f"known: {' '.join(map(form.format, known))}"

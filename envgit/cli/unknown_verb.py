"""What to say about a verb that there is not."""

from __future__ import annotations

import difflib

from envgit.errors import UsageError

from .escape import neutralise
from .verb_table import ABSENT, VERBS


def unknown_verb(name: str) -> UsageError:
    """Return the error for `name`: what it is called here, or what was probably meant."""
    shown = neutralise(name)
    if name in ABSENT:
        return UsageError(f"'{shown}' is not in this version of envgit", hint=ABSENT[name] or "see: envgit --help")
    near = difflib.get_close_matches(name.lower(), VERBS, n=3, cutoff=0.6)
    if near:
        return UsageError(f"'{shown}' is not an envgit command", hint="did you mean: " + ", ".join(near))
    return UsageError(f"'{shown}' is not an envgit command", hint="see: envgit --help")

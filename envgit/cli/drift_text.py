"""Drift as text, as a change of the declaration's file, and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from difflib import unified_diff
from typing import TYPE_CHECKING, Any, Final

from .screen import Screen

if TYPE_CHECKING:
    from envgit.drift import Drift

_COLORS: Final = {"+": "green", "A": "green", "-": "red", "D": "red"}
_MOST_HINTS = 10


def drift_lines(drift: Drift, screen: Screen) -> Iterator[str]:
    """Yield a line per difference, what it is and why no edit helps, and one that counts the rest."""
    for item in drift.items:
        mark = screen.paint(_COLORS.get(item.mark, "yellow"), item.mark)
        note = f"  {screen.paint('dim', f'({screen.safe(item.note)})')}" if item.note else ""
        yield f"{item.kind:7} {mark} {screen.safe(item.what)}{note}"
    if drift.folded:
        counts = ", ".join(f"{count:,} {label}" for label, count in sorted(drift.folded.items()))
        yield screen.paint("dim", f"not listed: {counts}")
    if not drift.items:
        yield f"no drift since {drift.since[:7]}"


def diff_lines(drift: Drift, screen: Screen) -> Iterator[str]:
    """Yield a unified diff of the file, as patch(1) takes it."""
    before, after = (text.decode("utf-8").splitlines() for text in (drift.before, drift.after))
    for line in unified_diff(before, after, f"a/{drift.file}", f"b/{drift.file}", lineterm=""):
        color = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        text = screen.safe(line)
        yield screen.paint(color, text) if color else text


def saved_hints(drift: Drift) -> list[str]:
    """Return the commands that put the files into the project which the edits name."""
    from envgit.building.drifting.files import iter_saved

    hints = []
    for each in iter_saved(drift.items):
        path = shlex.quote(each.target.strip("/"))
        if each.saved.endswith("/"):
            hints.append(f"first: envgit run -- tar -C / -c {path} | tar -C files -x")
        else:
            folder = shlex.quote(each.saved.rpartition("/")[0])
            hints.append(f"first: mkdir -p {folder} && envgit cat /{path} > {shlex.quote(each.saved)}")
    more = len(hints) - _MOST_HINTS
    return hints[:_MOST_HINTS] + ([f"and {more} more files: envgit drift --json lists them"] if more > 0 else [])


def drift_fields(drift: Drift) -> dict[str, Any]:
    """Return what --json prints beside the version."""
    return {
        "environment": drift.name,
        "file": drift.file,
        "since": drift.since,
        "drift": [
            {
                "kind": item.kind,
                "mark": item.mark,
                "what": item.what,
                "note": item.note or None,
                "edits": [{"edit": type(each).__name__, **each._asdict()} for each in item.edits],
            }
            for item in drift.items
        ],
        "not_listed": dict(drift.folded),
        "text": drift.after.decode("utf-8"),
    }

"""Operations as text."""

from __future__ import annotations

from .screen import Screen

_PREFIXES = ("refs/heads/", "refs/tags/", "refs/")


def ref_line(screen: Screen, name: str, old: str | None, new: str | None) -> str:
    """Return `main 1a2b3c4 -> 5d6e7f8`, `experiment created at 1a2b3c4`, `old deleted (was 1a2b3c4)`."""
    short = screen.safe(short_ref(name))
    if new is None:
        return f"{short} deleted (was {_short(old)})"
    if old is None:
        return f"{short} created at {_short(new)}"
    return f"{short} {_short(old)} -> {_short(new)}"


def short_ref(name: str) -> str:
    """Return a ref's name without the prefix that goes without saying."""
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def head_text(value: str) -> str:
    """Return what HEAD was: a branch's name or a short id."""
    name = value.removeprefix("ref:").strip()
    return short_ref(name) if name.startswith("refs/") else name[:7]


def _short(oid: str | None) -> str:
    return (oid or "")[:7]

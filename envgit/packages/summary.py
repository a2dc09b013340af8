"""A commit message from what happened to the packages."""

from __future__ import annotations

from collections.abc import Sequence

from envgit.packages.comparing import PackageChange

SUBJECT_MAX_CHARACTERS = 72
BODY_MAX_LINES = 200
_INSIDE_ANOTHER = b"/node_modules/"
_WORDS = (("+", "added"), ("~", "changed"), ("-", "removed"))


def change_text(change: PackageChange) -> str:
    """Return `+ numpy 2.1.0`, `- foo 1.0` or `~ openssl 3.0.14 -> 3.0.15`."""
    old, new = change.old, change.new
    if old is None or new is None:
        return f"{'+' if old is None else '-'} {change.package.name} {change.package.version}"
    if old.version == new.version:
        return f"~ {new.name} {new.version} ({old.architecture or 'none'} -> {new.architecture or 'none'})"
    return f"~ {new.name} {old.version} -> {new.version}"


def summarise_changes(changes: Sequence[PackageChange]) -> str | None:
    """Return a commit message, None when nothing changed.

    The subject names as many changes as go into 72 characters. When it does not name all, the body does: one per line, with the
    manager, at most 200.
    """
    if not changes:
        return None
    # Own packages first, then what npm put inside of them.
    ordered = sorted(changes, key=lambda change: change.package.place.count(_INSIDE_ANOTHER))
    texts = list(dict.fromkeys(change_text(change) for change in ordered))
    whole = ", ".join(texts)
    if len(whole) <= SUBJECT_MAX_CHARACTERS:
        return whole
    lines = list(dict.fromkeys(f"{change_text(change)} ({change.package.manager})" for change in ordered))
    if len(lines) > BODY_MAX_LINES:
        lines = [*lines[:BODY_MAX_LINES], f"and {len(lines) - BODY_MAX_LINES:,} more"]
    return _subject(texts) + "\n\n" + "\n".join(lines)


def _subject(texts: Sequence[str]) -> str:
    """Return the texts that fit and how many more there are, or only how many there are."""
    for count in range(min(len(texts) - 1, SUBJECT_MAX_CHARACTERS), 0, -1):
        line = f"{', '.join(texts[:count])}, {len(texts) - count:,} more"
        if len(line) <= SUBJECT_MAX_CHARACTERS:
            return line
    counts = [(word, sum(text.startswith(mark) for text in texts)) for mark, word in _WORDS]
    return "packages: " + ", ".join(f"{count:,} {word}" for word, count in counts if count)

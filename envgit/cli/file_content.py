"""The two sides of a change as lines, or as sizes when they are not text or too large to show."""

from __future__ import annotations

from typing import Final, NamedTuple

from envgit.model import Change, Child, TreeReader

LARGEST_SHOWN_BYTES: Final = 4 * 1024 * 1024
_SNIFFED_BYTES: Final = 8000


class Sides(NamedTuple):
    """`old` and `new` are lines with their ends, or None for both when only the sizes say something."""

    old: list[bytes] | None
    new: list[bytes] | None
    old_size: int
    new_size: int


def read_sides(change: Change, reader: TreeReader, *, text: bool = False) -> Sides:
    """Read what is needed to compare both sides. `text`: treat everything up to the limit as text (git's -a)."""
    old_size, new_size = _size(change.old), _size(change.new)
    if change.kind == "P":
        return Sides([], [], old_size, new_size)
    if max(old_size, new_size) > LARGEST_SHOWN_BYTES:
        return Sides(None, None, old_size, new_size)
    old = _content(change.old, reader)
    new = _content(change.new, reader)
    if not text and (b"\0" in old[:_SNIFFED_BYTES] or b"\0" in new[:_SNIFFED_BYTES]):
        return Sides(None, None, old_size, new_size)
    return Sides(split_lines(old), split_lines(new), old_size, new_size)


def split_lines(data: bytes) -> list[bytes]:
    """Split at newlines only, keeping them."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()
    return [*lines, last[:-1]] if len(last) > 1 else lines


def _size(child: Child | None) -> int:
    if child is None:
        return 0
    return child.entry.size if child.entry.type == "f" else len(child.entry.target)


def _content(child: Child | None, reader: TreeReader) -> bytes:
    if child is None:
        return b""
    if child.entry.type == "f":
        return b"".join(reader.iter_content(child))
    return child.entry.target

"""Directory listings as `ls` prints them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from envgit.model import Entry

from .dates import format_date
from .screen import Screen

_TYPE_LETTERS: Final = {"f": "-", "d": "d", "l": "l", "p": "p", "c": "c", "b": "b"}


def mode_letters(entry: Entry) -> str:
    """Return `drwxr-sr-t`, as ls(1) has it."""
    mode = 0o777 if entry.type == "l" else entry.mode
    letters = [("rwx"[index % 3] if mode & (0o400 >> index) else "-") for index in range(9)]
    for bit, place, name in ((0o4000, 2, "s"), (0o2000, 5, "s"), (0o1000, 8, "t")):
        if entry.mode & bit:
            letters[place] = name if letters[place] == "x" else name.upper()
    return _TYPE_LETTERS[entry.type] + "".join(letters)


def shown_name(path: bytes, entry: Entry, screen: Screen, *, classify: bool) -> str:
    """Return the name, coloured; with `classify` a directory's ends in a slash."""
    name = screen.path(path + b"/" if classify and entry.type == "d" else path)
    if entry.type == "d":
        return screen.paint("branch", name)
    return screen.paint("green", name) if entry.type == "f" and entry.mode & 0o111 else name


def long_listing(items: Iterable[tuple[bytes, Entry]], screen: Screen, now: float) -> Iterator[str]:
    """Yield `ls -l` lines: mode, owner, group, size or device, time, name, target. Times are UTC."""
    rows = list(items)
    sizes = [_size(entry) for _, entry in rows]
    owner_width = max((len(str(entry.uid)) for _, entry in rows), default=1)
    group_width = max((len(str(entry.gid)) for _, entry in rows), default=1)
    size_width = max((len(size) for size in sizes), default=1)
    for (path, entry), size in zip(rows, sizes, strict=True):
        when = format_date(entry.mtime_ns // 1_000_000_000, "+0000", "format:%Y-%m-%d %H:%M", now)
        mark = "+" if entry.xattrs else " "
        owners = f"{entry.uid:>{owner_width}} {entry.gid:>{group_width}}"
        name = shown_name(path, entry, screen, classify=False)
        arrow = f" -> {screen.path(entry.target)}" if entry.type == "l" else ""
        yield f"{mode_letters(entry)}{mark} {owners} {size:>{size_width}} {when} {name}{arrow}"


def _size(entry: Entry) -> str:
    if entry.device:
        return f"{entry.device[0]}, {entry.device[1]}"
    return str(len(entry.target) if entry.type == "l" else entry.size)

"""A change as git's patch text, with extended headers for what only envgit records (owners, attributes, devices)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from envgit.model import Change, Child, Entry, TreeReader

from .changes import changed_xattrs
from .escape import human_bytes, quote_path
from .file_content import Sides, read_sides
from .line_diff import Hunk, find_edits, group_hunks
from .screen import Screen

_TYPE_BITS: Final = {"f": "10", "d": "04", "p": "01", "c": "02", "b": "06"}
_FUNCTION: Final = re.compile(rb"[A-Za-z_$]")


def git_mode(entry: Entry) -> str:
    """Return the mode as git spells it, with all permission bits: `100644`, `104755`, `120000`."""
    return "120000" if entry.type == "l" else f"{_TYPE_BITS[entry.type]}{entry.mode:04o}"


def patch_lines(
    change: Change,
    reader: TreeReader,
    screen: Screen,
    *,
    context: int = 3,
    text: bool = False,
    with_mtime: bool = False,
) -> Iterator[str]:
    """Yield the lines (without newline) of one change's patch. A change of type is a deletion and an addition."""
    if change.kind == "T":
        yield from patch_lines(Change(change.path, "D", change.old, None), reader, screen, context=context, text=text)
        yield from patch_lines(Change(change.path, "A", None, change.new), reader, screen, context=context, text=text)
        return
    for line in _header(change, screen, with_mtime):
        yield screen.paint("bold", line)
    sides = read_sides(change, reader, text=text)
    if sides.old == sides.new and sides.old is not None:
        return
    old_name = _name(screen, change.path, b"a/") if change.old else "/dev/null"
    new_name = _name(screen, change.path, b"b/") if change.new else "/dev/null"
    if sides.old is None or sides.new is None:
        sizes = f"{human_bytes(sides.old_size)} -> {human_bytes(sides.new_size)}"
        yield f"Binary files {old_name} and {new_name} differ ({sizes})"
        return
    tab = "\t" if b" " in change.path else ""
    yield screen.paint("bold", f"--- {old_name}{tab if change.old else ''}")
    yield screen.paint("bold", f"+++ {new_name}{tab if change.new else ''}")
    yield from _hunk_lines(sides, screen, context)


def _name(screen: Screen, path: bytes, prefix: bytes) -> str:
    return screen.path(path, prefix)


def _header(change: Change, screen: Screen, with_mtime: bool) -> Iterator[str]:
    yield f"diff --git {_name(screen, change.path, b'a/')} {_name(screen, change.path, b'b/')}"
    if change.old is None:
        assert change.new is not None
        yield f"new file mode {git_mode(change.new.entry)}"
        yield from _other_attributes("new", change.new, screen)
        return
    if change.new is None:
        yield f"deleted file mode {git_mode(change.old.entry)}"
        yield from _other_attributes("old", change.old, screen)
        return
    old, new = change.old.entry, change.new.entry
    if old.mode != new.mode:
        yield f"old mode {git_mode(old)}"
        yield f"new mode {git_mode(new)}"
    if (old.uid, old.gid) != (new.uid, new.gid):
        yield f"old owner {old.uid}:{old.gid}"
        yield f"new owner {new.uid}:{new.gid}"
    if old.device != new.device:
        yield from _device("old", old)
        yield from _device("new", new)
    names = changed_xattrs(old, new)
    yield from (line for line in _xattrs("old", old, screen, names))
    yield from (line for line in _xattrs("new", new, screen, names))
    if change.old_links != change.new_links:
        yield from (f"old link {_name(screen, path, b'')}" for path in change.old_links)
        yield from (f"new link {_name(screen, path, b'')}" for path in change.new_links)
    if old.mtime_ns != new.mtime_ns and with_mtime:
        yield f"old mtime {_mtime(old)}"
        yield f"new mtime {_mtime(new)}"


def _mtime(entry: Entry) -> str:
    seconds, nanoseconds = divmod(entry.mtime_ns, 1_000_000_000)
    return f"{seconds}.{nanoseconds:09d}"


def _other_attributes(side: str, child: Child, screen: Screen) -> Iterator[str]:
    entry = child.entry
    if (entry.uid, entry.gid) != (0, 0):
        yield f"{side} owner {entry.uid}:{entry.gid}"
    yield from _device(side, entry)
    yield from _xattrs(side, entry, screen, [name for name, _ in entry.xattrs])


def _device(side: str, entry: Entry) -> Iterator[str]:
    if entry.device:
        yield f"{side} device {entry.device[0]}:{entry.device[1]}"


def _xattrs(side: str, entry: Entry, screen: Screen, names: list[bytes]) -> Iterator[str]:
    values = dict(entry.xattrs)
    for name in names:
        if name in values:
            yield f"{side} xattr {quote_path(name)}={quote_path(values[name], force=True)}"


def _hunk_lines(sides: Sides, screen: Screen, context: int) -> Iterator[str]:
    old, new = sides.old or [], sides.new or []
    for hunk in group_hunks(find_edits(old, new), len(old), len(new), context):
        ranges = f"@@ -{_range(hunk.old_from, hunk.old_to)} +{_range(hunk.new_from, hunk.new_to)} @@"
        function = _function_before(old, hunk.old_from)
        yield screen.paint("cyan", ranges) + (f" {screen.safe(function)}" if function else "")
        yield from _body(hunk, old, new, screen)


def _range(start: int, end: int) -> str:
    if end - start == 1:
        return str(start + 1)
    return f"{start + 1 if end > start else start},{end - start}"


def _function_before(lines: list[bytes], at: int) -> bytes:
    """Return the line that git shows after the second @@: the last one before the hunk that begins with a letter."""
    for index in range(at - 1, max(-1, at - 2000), -1):
        if _FUNCTION.match(lines[index]):
            return lines[index].rstrip()[:80].rstrip()
    return b""


def _body(hunk: Hunk, old: list[bytes], new: list[bytes], screen: Screen) -> Iterator[str]:
    at = hunk.old_from
    for edit in hunk.edits:
        yield from _marked(" ", old[at : edit.old_from], screen, "")
        yield from _marked("-", old[edit.old_from : edit.old_to], screen, "red")
        yield from _marked("+", new[edit.new_from : edit.new_to], screen, "green")
        at = edit.old_to
    yield from _marked(" ", old[at : hunk.old_to], screen, "")


def _marked(mark: str, lines: list[bytes], screen: Screen, style: str) -> Iterator[str]:
    for line in lines:
        ended = line.endswith(b"\n")
        shown = mark + screen.safe(line[:-1] if ended else line)
        yield screen.paint(style, shown) if style else shown
        if not ended:
            yield "\\ No newline at end of file"

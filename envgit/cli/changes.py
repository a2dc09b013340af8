"""Changes as lists show them: one letter, the properties that changed, directories only where nothing says them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .escape import quote_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envgit.model import Change, Entry

_LINKS_SHOWN = 3


def fold_directories(changes: Iterable[Change]) -> Iterator[Change]:
    """Drop an added or deleted directory when the next change, of the same kind, is inside and so implies it."""
    pending: Change | None = None
    for change in changes:
        if pending is not None:
            inside = not pending.path or change.path.startswith(pending.path + b"/")
            implied = inside and change.kind == pending.kind
            if not implied:
                yield pending
            pending = None
        if change.kind in ("A", "D") and entry_of(change).type == "d":
            pending = change
        else:
            yield change
    if pending is not None:
        yield pending


def entry_of(change: Change) -> Entry:
    """Return the entry that the change is about: the new one, or the deleted one."""
    child = change.new or change.old
    assert child is not None
    return child.entry


def letter(change: Change) -> str:
    """Return git's letter: a change of properties only is an M too."""
    return "M" if change.kind == "P" else change.kind


def display_path(change: Change) -> bytes:
    """Return the path; a directory's ends in a slash, the root's is `/`."""
    return change.path + b"/" if entry_of(change).type == "d" else change.path


def property_changes(change: Change) -> list[str]:
    """Return what differs besides content, for people: `mode 0644 -> 0755`, `owner 0:0 -> 33:33`, `xattr user.x`."""
    if change.old is None or change.new is None or change.kind == "T":
        return []
    old, new = change.old.entry, change.new.entry
    found = []
    if old.mode != new.mode:
        found.append(f"mode {old.mode:04o} -> {new.mode:04o}")
    if (old.uid, old.gid) != (new.uid, new.gid):
        found.append(f"owner {old.uid}:{old.gid} -> {new.uid}:{new.gid}")
    found += [f"xattr {name.decode('utf-8', 'backslashreplace')}" for name in changed_xattrs(old, new)]
    if old.device != new.device and old.device and new.device:
        found.append(f"device {_device(old)} -> {_device(new)}")
    if change.old_links != change.new_links:
        found.append(f"hard links {_names(change.old_links)} -> {_names(change.new_links)}")
    if change.kind == "P" and not found:
        found.append("mtime")
    return found


def changed_xattrs(old: Entry, new: Entry) -> list[bytes]:
    """Return the sorted names of attributes that were added, removed or given another value."""
    return sorted({name for name, _ in set(old.xattrs) ^ set(new.xattrs)})


def _names(paths: tuple[bytes, ...]) -> str:
    shown = ", ".join(quote_path(path) for path in paths[:_LINKS_SHOWN])
    more = len(paths) - _LINKS_SHOWN
    return (shown + f" and {more} more" if more > 0 else shown) or "none"


def _device(entry: Entry) -> str:
    return f"{entry.device[0]}:{entry.device[1]}" if entry.device else "-"

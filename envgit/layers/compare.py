"""What differs between two trees. Identical sub-trees are skipped without being read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from envgit.errors import HostileInput
from envgit.layers.pathspec_bytes import PathFilter
from envgit.layers.relinked import Relinked, find_relinked
from envgit.layers.tree_limits import MAX_DEPTH, MAX_ENTRIES
from envgit.model import Change, Child, Directory, DirectoryRef, Entry, TreeReader

_NO_CHILDREN: Mapping[bytes, Child] = {}


def diff_trees(
    old: DirectoryRef | None,
    new: DirectoryRef | None,
    reader: TreeReader,
    *,
    paths: Sequence[bytes] = (),
    with_mtime: bool = False,
) -> Iterator[Change]:
    """Yield what differs, depth first, the names of each directory in byte order, a directory before its content.

    `paths` limits the answer (PathFilter). A directory appears as changed only if its own attributes differ; added
    and deleted directories are followed by everything in them; a directory that became something else, or the
    reverse, is one `T` and then its content. Without `with_mtime` times do not count. Files whose hash is not known yet
    are read if nothing else tells. A file that is linked with others than before is at least a `P`. Raises what `reader`
    raises, and HostileInput where there is no end to what differs.
    """
    return _diff(old, new, reader, PathFilter(paths), with_mtime)


def same_ref(old: DirectoryRef | None, new: DirectoryRef | None) -> bool:
    """Say whether two references certainly name the same directory."""
    if old is None or new is None:
        return old is new
    if old.sha256 and new.sha256:
        return old.sha256 == new.sha256
    return old.content is new.content or old == new


def classify(old: Child, new: Child, reader: TreeReader, with_mtime: bool) -> str | None:
    """Return the ChangeKind between two non-directories of one name, or None."""
    before, after = old.entry, new.entry
    if before.type != after.type:
        return "T"
    if before.target != after.target or before.device != after.device or before.size != after.size:
        return "M"
    if before.type == "f":
        known = before.sha256 is not None and after.sha256 is not None
        if (before.sha256 if known else _hash(old, reader)) != (after.sha256 if known else _hash(new, reader)):
            return "M"
    return "P" if _properties(before, with_mtime) != _properties(after, with_mtime) else None


def _properties(entry: Entry, with_mtime: bool) -> tuple[object, ...]:
    return (entry.mode, entry.uid, entry.gid, entry.xattrs, entry.sparse, entry.mtime_ns if with_mtime else 0)


def _hash(child: Child, reader: TreeReader) -> bytes:
    if child.entry.sha256 is not None:
        return child.entry.sha256
    digest = hashlib.sha256()
    for piece in reader.iter_content(child):
        digest.update(piece)
    return digest.digest()


def _diff(
    old: DirectoryRef | None, new: DirectoryRef | None, reader: TreeReader, paths: PathFilter, with_mtime: bool
) -> Iterator[Change]:
    """Depth-first without recursion: trees may be deeper than Python's stack."""
    if same_ref(old, new):
        return
    relinked = find_relinked(old, new, reader)
    stack: list[Iterator[tuple[bytes, Child | None, Child | None]]] = []
    pair = (_as_child(old), _as_child(new))
    stack.append(iter([(b"", *pair)]))
    entries = 0
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        entries += 1
        if entries > MAX_ENTRIES or len(stack) > MAX_DEPTH + 1:
            _refuse(entries)
        path, before, after = step
        old_ref, new_ref = _directory_ref(before), _directory_ref(after)
        if old_ref is None and new_ref is None:
            change = _compare(path, before, after, reader, with_mtime, relinked) if paths.matches(path) else None
            if change is not None:
                yield change
            continue
        if not paths.may_contain(path) or same_ref(old_ref, new_ref) and path not in relinked.directories:
            continue
        old_directory = reader.read_directory(old_ref) if old_ref is not None else None
        new_directory = reader.read_directory(new_ref) if new_ref is not None else None
        if paths.matches(path):
            name = path.rpartition(b"/")[2] or b"."
            before = before if old_directory is None else Child(old_directory.own._replace(name=name), old_ref)
            after = after if new_directory is None else Child(new_directory.own._replace(name=name), new_ref)
            change = _compare(path, before, after, reader, with_mtime, relinked)
            if change is not None:
                yield change
        stack.append(_pairs(path + b"/" if path else b"", old_directory, new_directory, relinked))


def _refuse(entries: int) -> None:
    what = f"in more than {MAX_ENTRIES:,} entries" if entries > MAX_ENTRIES else f"below {MAX_DEPTH:,} directories"
    raise HostileInput(
        f"the trees differ {what}: probably one directory that is in itself many times over",
        hint="compare a part: envgit diff A B -- PATH",
    )


def _compare(
    path: bytes, before: Child | None, after: Child | None, reader: TreeReader, with_mtime: bool, relinked: Relinked
) -> Change | None:
    if before is None:
        return Change(path, "A", None, after)
    if after is None:
        return Change(path, "D", before, None)
    links = relinked.paths.get(path)
    kind = None if before is after else classify(before, after, reader, with_mtime)
    if links is not None and kind != "T":
        return Change(path, kind or "P", before, after, *links)  # type: ignore[arg-type]
    return None if kind is None else Change(path, kind, before, after)  # type: ignore[arg-type]


def _pairs(
    prefix: bytes, old: Directory | None, new: Directory | None, relinked: Relinked
) -> Iterator[tuple[bytes, Child | None, Child | None]]:
    before = old.children if old is not None else _NO_CHILDREN
    after = new.children if new is not None else _NO_CHILDREN
    for name in sorted(before.keys() | after.keys()):
        left, right = before.get(name), after.get(name)
        differs = left is None or right is None or left.entry != right.entry or _is_unknown(left.entry)
        if differs or relinked.paths and (prefix + name in relinked.paths or prefix + name in relinked.directories):
            yield prefix + name, left, right


def _as_child(ref: DirectoryRef | None) -> Child | None:
    return None if ref is None else Child(Entry(b".", "d", sha256=ref.sha256), ref)


def _directory_ref(child: Child | None) -> DirectoryRef | None:
    if child is None or child.entry.type != "d":
        return None
    assert isinstance(child.content, DirectoryRef)
    return child.content


def _is_unknown(entry: Entry) -> bool:
    return entry.type in "fd" and not entry.sha256

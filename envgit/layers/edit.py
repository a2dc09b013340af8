"""Apply changes to a tree: the inverse of `compare`. `edit_tree(a, diff_trees(a, b, with_mtime=True)) == b`."""

from __future__ import annotations

from collections.abc import Iterable

from envgit.errors import UnknownPath
from envgit.layers.metadata import sort_links
from envgit.model import Change, Child, DirectoryRef, Entry, Links, TreeReader, TreeWriter


class _Node:
    """The edits of one directory: its own new attributes, its children's fates, its sub-directories' edits."""

    __slots__ = ("below", "children", "fresh", "own")

    def __init__(self) -> None:
        self.own: Entry | None = None
        self.fresh = False
        """The directory starts empty: it is new, or was something else."""
        self.children: dict[bytes, Child | None] = {}
        self.below: dict[bytes, _Node] = {}


def edit_tree(
    root: DirectoryRef, changes: Iterable[Change], reader: TreeReader, writer: TreeWriter, links: Links | None = None
) -> DirectoryRef:
    """Return `root` with each change's new side in place of what is there.

    A directory must come before what is in it, as `diff_trees` yields them. `links`: the new hard-link sets; by default
    the old ones without every path that changed. Raises UnknownPath when a change lies below something that is no directory.
    """
    top = _Node()
    touched: set[bytes] = set()
    for change in changes:
        if change.kind != "P" or change.new is None or change.new.entry.type != "d":  # else what is in it stays
            touched.add(change.path)
        _note(top, change)
    if links is None:
        old = reader.read_links(root)
        links = sort_links([[path for path in paths if not _is_touched(path, touched)] for paths in old])
    return _rebuild(root, top, reader, writer, links)


def _note(top: _Node, change: Change) -> None:
    node = top
    *parents, name = change.path.split(b"/")
    for parent in parents:
        node = node.below.setdefault(parent, _Node())
    child = change.new
    if not change.path:
        assert child is not None
        top.own = child.entry._replace(name=b".", sha256=None)
    elif child is None:
        node.children[name] = None
        node.below.pop(name, None)
    elif child.entry.type == "d":
        node.children.pop(name, None)
        below = node.below.setdefault(name, _Node())
        below.own = child.entry._replace(name=b".", sha256=None)
        below.fresh = change.kind in ("A", "T")
    else:
        node.below.pop(name, None)
        node.children[name] = child


def _only_deletes(node: _Node) -> bool:
    return all(child is None for child in node.children.values()) and all(map(_only_deletes, node.below.values()))


def _is_touched(path: bytes, touched: set[bytes]) -> bool:
    while path:
        if path in touched:
            return True
        path = path.rpartition(b"/")[0]
    return False


def _rebuild(
    ref: DirectoryRef | None, node: _Node, reader: TreeReader, writer: TreeWriter, links: Links = ()
) -> DirectoryRef:
    if ref is not None and not (node.own or node.children or node.below):
        return ref
    directory = reader.read_directory(ref) if ref is not None else None
    merged = dict(directory.children) if directory is not None else {}
    for name, child in node.children.items():
        if child is None:
            merged.pop(name, None)
        else:
            merged[name] = child
    for name, below in node.below.items():
        old = merged.get(name)
        old_ref = old.content if old is not None and isinstance(old.content, DirectoryRef) and not below.fresh else None
        if old_ref is None and below.own is None:
            if _only_deletes(below):
                continue
            raise UnknownPath(f"{name.decode(errors='backslashreplace')} is not a directory")
        new_ref = _rebuild(old_ref, below, reader, writer)
        merged[name] = Child(Entry(name, "d", sha256=new_ref.sha256), new_ref)
    own = node.own or (directory.own if directory is not None else Entry(b".", "d", 0o755))
    return writer.put_directory(own, [merged[name] for name in sorted(merged)], links)

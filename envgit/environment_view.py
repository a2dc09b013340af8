"""An environment's tree as `packages` sees it: by path, read-only, symbolic links followed inside."""

from __future__ import annotations

from collections.abc import Mapping

from envgit.errors import UnknownPath
from envgit.model import Child, DirectoryRef, TreeReader
from envgit.packages.package import MalformedRecord
from envgit.packages.view import Node
from envgit.tree_path import find_child


class EnvironmentView:
    """A TreeView of one tree (None: an empty one). Each directory on the way to what is asked for is read once, nothing else is."""

    def __init__(self, reader: TreeReader, root: DirectoryRef | None) -> None:
        self._reader = reader
        self._root = root
        self._children: dict[bytes, Mapping[bytes, Child]] = {}
        self._nodes: dict[bytes, Mapping[bytes, Node]] = {}

    def list_directory(self, path: bytes) -> Mapping[bytes, Node]:
        nodes = self._nodes.get(path)
        if nodes is None:
            nodes = {name: _node(child) for name, child in self._list(path).items()}
            self._nodes[path] = nodes
        return nodes

    def find_node(self, path: bytes) -> Node | None:
        child = self._find(path)
        return None if child is None else _node(child)

    def read_file(self, path: bytes, most_bytes: int) -> bytes | None:
        child = self._find(path)
        if child is None or child.entry.type != "f":
            return None
        if child.entry.size > most_bytes:
            raise MalformedRecord(f"it has {child.entry.size:,} bytes")
        return b"".join(self._reader.iter_content(child))

    def _list(self, path: bytes) -> Mapping[bytes, Child]:
        known = self._children.get(path)
        if known is None:
            child = self._find(path)
            ref = child.content if child is not None else None
            known = self._reader.read_directory(ref).children if isinstance(ref, DirectoryRef) else {}
            self._children[path] = known
        return known

    def _find(self, path: bytes) -> Child | None:
        """Return what is at `path`; its parent's listing tells, unless a symbolic link is the last name."""
        if self._root is None:
            return None
        if not path:
            return find_child(self._reader, self._root, b"")
        above, _, name = path.rpartition(b"/")
        child = self._list(above).get(name)
        if child is None or child.entry.type != "l":
            return child
        try:
            return find_child(self._reader, self._root, path, follow=True)
        except UnknownPath:
            return None


def _node(child: Child) -> Node:
    """What is uncommitted has no hash yet, and so no identity."""
    return Node(child.entry.type, child.entry.sha256 or None)

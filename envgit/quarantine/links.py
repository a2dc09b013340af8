"""Do the hard links of an environment lead to files, and are the names of one inode described alike."""

from __future__ import annotations

import os

from envgit.model import DirectoryRef, Entry, Links
from envgit.quarantine.arrived import ArrivedObjects
from envgit.quarantine.errors import RefusedObjects
from envgit.trees import GitTreeReader

_Node = dict[bytes, "object"]
"""Name to the number of its set, or to the node of a directory."""


class LinkCheck:
    """The sets as a tree of names, walked beside the tree of files; a directory that is as it was is not walked again."""

    def __init__(self, objects: ArrivedObjects, reader: GitTreeReader) -> None:
        self._objects = objects
        self._reader = reader
        self._table: tuple[bytes, _Node] | None = None
        self._done: dict[tuple[int, DirectoryRef], dict[int, Entry]] = {}

    def check(self, root: DirectoryRef) -> None:
        """Check the sets of one environment. Raises RefusedObjects, CorruptObject."""
        digest = self._reader.read_directory(root).links_sha256
        if digest is None:
            return
        links = self._reader.read_links(root)
        if self._table is None or self._table[0] != digest:
            self._table = (digest, _as_tree(links))
            self._done = {}
        self._walk(self._table[1], root, b"", links)

    def _walk(self, node: _Node, ref: DirectoryRef, path: bytes, links: Links) -> dict[int, Entry]:
        """Return, per set, the entry that its names below `ref` share."""
        key = (id(node), ref)
        found = self._done.get(key)
        if found is not None:
            return found
        found = {}
        children = self._reader.read_directory(ref).children
        for name, below in node.items():
            where = path + b"/" + name
            child = children.get(name)
            if child is None:
                raise RefusedObjects(f"hard link {os.fsdecode(where)!r} leads to nothing")
            if isinstance(below, int):
                if child.entry.type == "d":
                    raise RefusedObjects(f"hard link {os.fsdecode(where)!r} is a directory")
                _merge(found, below, child.entry._replace(name=b""), links)
                continue
            assert isinstance(below, dict)
            if not isinstance(child.content, DirectoryRef):
                raise RefusedObjects(f"hard link {os.fsdecode(where)!r} leads through what is no directory")
            for number, entry in self._walk(below, child.content, where, links).items():
                _merge(found, number, entry, links)
        self._done[key] = found
        return found


def _merge(found: dict[int, Entry], number: int, entry: Entry, links: Links) -> None:
    if found.setdefault(number, entry) != entry:
        raise RefusedObjects(f"the names of hard link {os.fsdecode(links[number][0])!r} have different metadata")


def _as_tree(links: Links) -> _Node:
    root: _Node = {}
    for number, paths in enumerate(links):
        for path in paths:
            node = root
            *folders, last = path.split(b"/")
            for folder in folders:
                below = node.setdefault(folder, {})
                if not isinstance(below, dict):
                    raise RefusedObjects(f"hard link {os.fsdecode(path)!r} leads through another one")
                node = below
            if node.setdefault(last, number) != number or last in node and isinstance(node[last], dict):
                raise RefusedObjects(f"hard link {os.fsdecode(path)!r} is a directory of others")
    return root

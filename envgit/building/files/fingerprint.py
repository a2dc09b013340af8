"""The digest of files that a step reads: names, modes, contents, link targets; never times."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from envgit.building.files.attributes import ModeChange
from envgit.building.files.file_tree import FileTree, Node


class Fingerprint:
    """Collects entries in the order of a walk. `mode`: the change that copying makes; `owners`: owners are part of it."""

    def __init__(self, mode: ModeChange | None = None, *, owners: bool = False) -> None:
        self._mode = mode
        self._owners = owners
        self._lines: list[bytes] = []
        self._inodes: dict[object, bytes] = {}

    def begin(self, name: bytes) -> None:
        """Say that what follows is below another place."""
        self._lines.append(b"%d %b\n" % (len(name), name))
        self._inodes.clear()

    def add(self, path: bytes, node: Node, content: bytes | None) -> None:
        """Take one entry; `content`: the SHA-256 of a regular file."""
        entry = node.entry
        kind = entry.type
        if node.implied:
            self._lines.append(b"i %o %d %b\n" % (entry.mode, len(path), path))
            return
        mode = entry.mode if self._mode is None or kind == "l" else self._mode(entry.mode, kind == "d")
        line = b"%b %o %d %b " % (kind.encode(), mode, len(path), path)
        if kind == "f":
            assert content is not None
            line += content
            if node.inode is not None:
                first = self._inodes.setdefault(node.inode, path)
                line += b" = %d %b" % (len(first), first)
        elif kind == "l":
            line += b"%d %b" % (len(entry.target), entry.target)
        elif entry.device is not None:
            line += b"%d:%d" % entry.device
        if self._owners:
            line += b" %d:%d %b" % (entry.uid, entry.gid, repr(entry.xattrs).encode())
        self._lines.append(line + b"\n")

    def add_all(self, tree: FileTree, nodes: Iterable[tuple[bytes, Node]]) -> None:
        """Take everything that a walk of `tree` yields."""
        digest, add = tree.digest, self.add
        for path, node in nodes:
            add(path, node, digest(node) if node.entry.type == "f" else None)

    def digest(self) -> bytes:
        """Return the SHA-256 of everything so far."""
        return sha256(b"".join(self._lines)).digest()

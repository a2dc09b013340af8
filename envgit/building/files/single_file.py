"""One file that is in no folder: content that was written in the declaration, or a download."""

from __future__ import annotations

import hashlib
import os

from envgit.building.files.file_tree import Node
from envgit.errors import Conflict, StorageError
from envgit.model import Child, Entry, TreeWriter
from envgit.store import storage

_ROOT = Node(b"", Entry(b"", "d", 0o755), implied=True)


class SingleFile:
    """A FileTree of one file, given as bytes or as the path of a file on disk that has `entry.sha256`."""

    def __init__(self, entry: Entry, content: bytes | str, title: str) -> None:
        self.title = title
        self.node = Node(entry.name, entry)
        self._content = content

    @classmethod
    def of_bytes(cls, name: bytes, content: bytes, mtime_ns: int) -> SingleFile:
        """Return a file of mode 0644."""
        digest = hashlib.sha256(content).digest()
        return cls(Entry(name, "f", 0o644, 0, 0, mtime_ns, len(content), digest), content, "the declaration")

    def root(self) -> Node:
        return _ROOT

    def find(self, directory: Node, name: bytes) -> Node | None:
        return self.node if name == self.node.entry.name else None

    def list_directory(self, directory: Node) -> list[Node]:
        return [self.node]

    def list_names(self, directory: Node) -> list[bytes]:
        return [self.node.entry.name]

    def digest(self, node: Node) -> bytes:
        assert node.entry.sha256 is not None
        return node.entry.sha256

    def store(self, node: Node, writer: TreeWriter) -> Child:
        entry = node.entry
        executable = bool(entry.mode & 0o111)
        if isinstance(self._content, bytes):
            return Child(entry, writer.put_file([self._content], executable).content)
        try:
            fd = os.open(self._content, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                stored = writer.put_open_file(fd, entry.size, executable)
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError(
                f"{self._content} cannot be read: {error.strerror}", hint="run the command again"
            ) from error
        if stored.sha256 != entry.sha256:
            storage.discard(self._content)
            raise Conflict(f"the kept copy of {self.title} was damaged", hint="it is removed; run the command again")
        return Child(entry, stored.content)

    def explain(self, path: bytes) -> str | None:
        return None

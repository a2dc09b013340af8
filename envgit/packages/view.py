"""How this room sees an environment: as directories and files by path, read-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from envgit.light_typing import NamedTuple


class Node(NamedTuple):
    """One name of a directory. `type` is that of an Entry: f, d, l, p, c, b.

    Two nodes of one type with the same `identity` have the same content, a directory with everything below; None is equal
    to nothing.
    """

    type: str
    identity: bytes | None


class TreeView(Protocol):
    """A tree by bytes paths without leading slash. Symbolic links on the way are followed inside the tree."""

    def list_directory(self, path: bytes) -> Mapping[bytes, Node]:
        """Return the names of a directory; nothing when there is no such directory."""
        ...

    def find_node(self, path: bytes) -> Node | None:
        """Return what is at `path`, a symbolic link followed; None when nothing is."""
        ...

    def read_file(self, path: bytes, most_bytes: int) -> bytes | None:
        """Return a regular file; None when there is none. Raises MalformedRecord when it is larger than `most_bytes`."""
        ...

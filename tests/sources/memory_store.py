"""A TreeWriter and TreeReader in memory, for tests of sources and exports."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

from envgit.layers.metadata import format_directory, format_links
from envgit.model import Child, Directory, DirectoryRef, Entry, Links, StoredFile


class MemoryStore:
    """Keeps file content by hash, and directories by the hash of their metadata."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}
        self.directories: dict[bytes, Directory] = {}
        self.links: dict[bytes, Links] = {}
        self.largest_piece = 0

    def put_file(self, pieces: Iterable[bytes], executable: bool) -> StoredFile:
        parts = []
        for piece in pieces:
            assert isinstance(piece, bytes)
            self.largest_piece = max(self.largest_piece, len(piece))
            parts.append(piece)
        data = b"".join(parts)
        digest = hashlib.sha256(data).digest()
        self.blobs[digest] = data
        return StoredFile(digest, digest, len(data))

    def put_open_file(self, fd: int, size: int, executable: bool) -> StoredFile:
        parts = []
        offset = 0
        while part := os.pread(fd, 1 << 20, offset):
            parts.append(part)
            offset += len(part)
        return self.put_file(parts, executable)

    def put_directory(self, own: Entry, children: Iterable[Child], links: Links = ()) -> DirectoryRef:
        listing = {child.entry.name: child for child in children}
        assert list(listing) == sorted(listing)
        links_sha256 = hashlib.sha256(format_links(links)).digest() if links else None
        digest = hashlib.sha256(
            format_directory(own, [child.entry for child in listing.values()], links_sha256)
        ).digest()
        self.directories[digest] = Directory(own, listing, links_sha256)
        self.links[digest] = links
        return DirectoryRef(digest, digest)

    def read_directory(self, ref: DirectoryRef) -> Directory:
        return self.directories[ref.sha256]

    def read_links(self, root: DirectoryRef) -> Links:
        return self.links[root.sha256]

    def iter_content(self, child: Child) -> Iterator[bytes]:
        data = self.blobs[child.entry.sha256 or b""]
        for i in range(0, len(data), 1 << 20):
            yield data[i : i + (1 << 20)]

    def paths(self, root: DirectoryRef, prefix: bytes = b"") -> dict[bytes, Entry]:
        """Return every entry by path; directories with their own attributes; b"" is the root."""
        directory = self.directories[root.sha256]
        found = {prefix: directory.own}
        for name, child in directory.children.items():
            path = prefix + b"/" + name if prefix else name
            if child.entry.type == "d":
                assert isinstance(child.content, DirectoryRef)
                found.update(self.paths(child.content, path))
            else:
                found[path] = child.entry
        return found

    def content(self, root: DirectoryRef, path: bytes) -> bytes:
        entry = self.paths(root)[path]
        return self.blobs[entry.sha256 or b""]

"""A TreeReader and TreeWriter over dictionaries: what the layers room needs of a store, and counters."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

from envgit.errors import CorruptObject
from envgit.layers.metadata import format_directory, format_links, parse_directory, parse_links
from envgit.model import Child, Directory, DirectoryRef, Entry, Links, StoredFile


class DictStore:
    """Content by SHA-256; a directory's content handle is ("dir", hash of its metadata)."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}
        self.metas: dict[bytes, tuple[bytes, bytes | None]] = {}
        self.directories_read = 0
        self.directories_written = 0
        self.files_read = 0
        self.files_written = 0

    def put_file(self, pieces: Iterable[bytes], executable: bool) -> StoredFile:
        data = b"".join(pieces)
        digest = hashlib.sha256(data).digest()
        self.blobs[digest] = data
        self.files_written += 1
        return StoredFile(digest, digest, len(data))

    def put_open_file(self, fd: int, size: int, executable: bool) -> StoredFile:
        os.lseek(fd, 0, os.SEEK_SET)
        pieces = []
        while piece := os.read(fd, 1 << 20):
            pieces.append(piece)
        return self.put_file(pieces, executable)

    def put_directory(self, own: Entry, children: Iterable[Child], links: Links = ()) -> DirectoryRef:
        children = list(children)
        for child in children:
            if child.entry.type == "d":
                assert isinstance(child.content, DirectoryRef) and child.content.sha256 == child.entry.sha256
                assert child.content.sha256 in self.metas
            elif child.entry.type == "f":
                assert isinstance(child.content, bytes) and child.content == child.entry.sha256
                assert len(self.blobs[child.content]) == child.entry.size
        blob = format_links(links) if links else None
        meta = format_directory(
            own, [child.entry for child in children], hashlib.sha256(blob).digest() if blob is not None else None
        )
        digest = hashlib.sha256(meta).digest()
        self.metas[digest] = (meta, blob)
        self.directories_written += 1
        return DirectoryRef(("dir", digest), digest)

    def read_directory(self, ref: DirectoryRef) -> Directory:
        self.directories_read += 1
        assert ref.content == ("dir", ref.sha256)
        own, entries, links_sha256 = parse_directory(self.metas[ref.sha256][0])
        children = {}
        for entry in entries:
            content: object | None = None
            if entry.type == "d":
                assert entry.sha256 is not None
                content = DirectoryRef(("dir", entry.sha256), entry.sha256)
            elif entry.type == "f":
                content = entry.sha256
            children[entry.name] = Child(entry, content)
        return Directory(own, children, links_sha256)

    def read_links(self, root: DirectoryRef) -> Links:
        blob = self.metas[root.sha256][1]
        return parse_links(blob) if blob is not None else ()

    def iter_content(self, child: Child) -> Iterator[bytes]:
        self.files_read += 1
        assert isinstance(child.content, bytes)
        data = self.blobs[child.content]
        for start in range(0, len(data), 1 << 20):
            yield data[start : start + (1 << 20)]
        if hashlib.sha256(data).digest() != child.entry.sha256:
            raise CorruptObject("content does not match its hash")

"""A TreeWriter that counts what goes through it."""

from __future__ import annotations

from collections.abc import Iterable

from envgit.model import Child, DirectoryRef, Entry, Links, StoredFile, TreeWriter


class CountingWriter:
    """Passes everything on; `files`, `directories` and `bytes` (of content) count."""

    def __init__(self, writer: TreeWriter) -> None:
        self._writer = writer
        self.files = 0
        self.directories = 0
        self.bytes = 0

    def put_file(self, pieces: Iterable[bytes], executable: bool) -> StoredFile:
        stored = self._writer.put_file(pieces, executable)
        self.files += 1
        self.bytes += stored.size
        return stored

    def put_open_file(self, fd: int, size: int, executable: bool) -> StoredFile:
        stored = self._writer.put_open_file(fd, size, executable)
        self.files += 1
        self.bytes += stored.size
        return stored

    def put_directory(self, own: Entry, children: Iterable[Child], links: Links = ()) -> DirectoryRef:
        self.directories += 1
        return self._writer.put_directory(own, children, links)

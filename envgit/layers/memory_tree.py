"""A tree that is never stored: uncommitted changes over a stored one, for `status` and `diff`.

The same capture that commits writes into this instead of the store. Files stay where they are, in the upper
directory, and are read when somebody asks.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from envgit.errors import CorruptObject, StorageError
from envgit.layers.descent import open_beneath
from envgit.layers.inode import FILE_FLAGS
from envgit.layers.metadata import format_directory, format_links
from envgit.layers.sparse import iter_file
from envgit.model import Child, Directory, DirectoryRef, Entry, Links, StoredFile, TreeReader


class UpperFile(NamedTuple):
    """Content handle: a regular file below the upper directory."""

    path: bytes


class MemoryFile(NamedTuple):
    """Content handle: bytes held in memory."""

    data: bytes


class MemoryDirectory:
    """Content handle of a directory; equal only to itself."""

    __slots__ = ("directory", "links")

    def __init__(self, directory: Directory, links: Links) -> None:
        self.directory = directory
        self.links = links


class MemoryTree:
    """TreeWriter and TreeReader at once, over the reader of what is stored.

    Unless `hash_files`, files are not read when they are put: their StoredFile has sha256 None, and the DirectoryRefs
    above them have the sha256 b"", which means "unknown" and is equal to no stored directory's. `upper_fd` stays the
    caller's and must be open as long as content is read.
    """

    def __init__(self, below: TreeReader, upper_fd: int, *, hash_files: bool = False) -> None:
        self._below = below
        self._upper_fd = upper_fd
        self._hash_files = hash_files
        self._path = b""

    def note_path(self, path: bytes) -> None:
        """Say where below the upper directory the next `put_open_file` finds its file."""
        self._path = path

    def put_open_file(self, fd: int, size: int, executable: bool) -> StoredFile:
        digest = hash_open_file(fd) if self._hash_files else None
        return StoredFile(UpperFile(self._path), digest, size)

    def put_file(self, pieces: Iterable[bytes], executable: bool) -> StoredFile:
        data = b"".join(pieces)
        return StoredFile(MemoryFile(data), hashlib.sha256(data).digest(), len(data))

    def put_directory(self, own: Entry, children: Iterable[Child], links: Links = ()) -> DirectoryRef:
        by_name = {child.entry.name: child for child in sorted(children, key=lambda child: child.entry.name)}
        digest = b""
        links_sha256 = hashlib.sha256(format_links(links)).digest() if links else None
        if all(child.entry.sha256 for child in by_name.values() if child.entry.type in "fd"):
            entries = [child.entry for child in by_name.values()]
            digest = hashlib.sha256(format_directory(own, entries, links_sha256)).digest()
        return DirectoryRef(MemoryDirectory(Directory(own, by_name, links_sha256), links), digest)

    def read_directory(self, ref: DirectoryRef) -> Directory:
        if isinstance(ref.content, MemoryDirectory):
            return ref.content.directory
        return self._below.read_directory(ref)

    def read_links(self, root: DirectoryRef) -> Links:
        if isinstance(root.content, MemoryDirectory):
            return root.content.links
        return self._below.read_links(root)

    def iter_content(self, child: Child) -> Iterator[bytes]:
        """Yield the bytes; CorruptObject if they are not those of a known hash, StorageError if the file is gone."""
        if isinstance(child.content, MemoryFile):
            yield child.content.data
        elif isinstance(child.content, UpperFile):
            yield from self._iter_upper(child.content.path, child.entry.sha256)
        else:
            yield from self._below.iter_content(child)

    def _iter_upper(self, path: bytes, sha256: bytes | None) -> Iterator[bytes]:
        shown = ascii(path.decode("utf-8", "surrogateescape"))
        try:
            fd = open_beneath(self._upper_fd, path, FILE_FLAGS)
        except OSError as error:
            raise StorageError(f"{shown} cannot be read any more: {error.strerror}") from error
        digest = hashlib.sha256()
        try:
            for piece in iter_file(fd):
                digest.update(piece)
                yield piece
        except OSError as error:
            raise StorageError(f"{shown} cannot be read: {error.strerror}") from error
        finally:
            os.close(fd)
        if sha256 is not None and digest.digest() != sha256:
            raise CorruptObject(f"{shown} was written to while it was compared")


def hash_open_file(fd: int) -> bytes:
    """Return the SHA-256 of an open regular file's content, from its start; moves its offset."""
    digest = hashlib.sha256()
    for piece in iter_file(fd):
        digest.update(piece)
    return digest.digest()

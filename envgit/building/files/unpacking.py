"""Unpack tar archives that ADD names: into a tree that is merged into the environment, never onto a disk."""

from __future__ import annotations

import os
from bz2 import BZ2Decompressor
from collections.abc import Iterable
from io import RawIOBase
from typing import BinaryIO, cast

from envgit.building.files.file_tree import Node
from envgit.errors import HostileInput, SourceError
from envgit.layers.assemble import IMPLICIT_PARENT
from envgit.layers.sources.decompress import open_archive
from envgit.layers.sources.tar import import_tar
from envgit.layers.sources.tar_limits import TarLimits
from envgit.layers.sources.tar_members import iter_members
from envgit.model import Child, DirectoryRef, Entry, Links, StoredFile, TreeWriter
from envgit.monitor import Monitor, NullMonitor

_BZIP2 = b"BZh"
_READ_BYTES = 256 * 1024
_REPORTED = 5


class UnpackedTree:
    """What an archive holds, as a FileTree: contents stored, directories in memory only."""

    def __init__(self, title: str, new: Entry) -> None:
        self.title = title
        self._new = new
        self._root = _Staged(IMPLICIT_PARENT, {}, ())
        self._inodes: dict[bytes, int] = {}

    @classmethod
    def read(cls, fd: int, title: str, new: Entry, writer: TreeWriter, monitor: Monitor) -> UnpackedTree:
        """Read the archive in the open file `fd`, which stays the caller's; what has to be left out is a warning.

        Directories that are no members themselves have the attributes `new`.
        Raises SourceError and HostileInput, as an import does.
        """
        tree = cls(title, new)
        with _open(fd) as stream:
            imported = import_tar(stream, _Staging(writer), NullMonitor(), TarLimits())
        assert isinstance(imported.root.content, _Staged)
        tree._root = imported.root.content
        tree._inodes = {path: number for number, paths in enumerate(imported.links) for path in paths}
        for path, reason in imported.left_out[:_REPORTED]:
            monitor.warn(f"{title}: {ascii(os.fsdecode(path))} is not unpacked whole: {reason}")
        if len(imported.left_out) > _REPORTED:
            monitor.warn(f"{title}: and {len(imported.left_out) - _REPORTED} more")
        return tree

    def root(self) -> Node:
        return Node(b"", self._root.own, self._root, implied=self._root.own is IMPLICIT_PARENT)

    def find(self, directory: Node, name: bytes) -> Node | None:
        child = _staged(directory).children.get(name)
        return None if child is None else self._node(directory, child)

    def list_directory(self, directory: Node) -> list[Node]:
        children = _staged(directory).children
        return [self._node(directory, children[name]) for name in sorted(children)]

    def list_names(self, directory: Node) -> list[bytes]:
        return sorted(_staged(directory).children)

    def digest(self, node: Node) -> bytes:
        assert node.entry.sha256 is not None
        return node.entry.sha256

    def store(self, node: Node, writer: TreeWriter) -> Child:
        return Child(node.entry, node.handle)

    def explain(self, path: bytes) -> str | None:
        return None

    def _node(self, directory: Node, child: Child) -> Node:
        name = child.entry.name
        path = directory.path + b"/" + name if directory.path else name
        if isinstance(child.content, DirectoryRef):
            staged = child.content.content
            assert isinstance(staged, _Staged)
            implied = staged.own is IMPLICIT_PARENT
            return Node(path, (self._new if implied else staged.own)._replace(name=name), staged, implied=implied)
        return Node(path, child.entry, child.content, self._inodes.get(path))


class _Staged:
    """A directory of the archive. `own` is IMPLICIT_PARENT, that very value, when it is no member itself."""

    __slots__ = ("children", "links", "own")

    def __init__(self, own: Entry, children: dict[bytes, Child], links: Links) -> None:
        self.own = own
        self.children = children
        self.links = links


class _Staging:
    """A TreeWriter that stores files and keeps directories."""

    def __init__(self, writer: TreeWriter) -> None:
        self._writer = writer

    def put_file(self, pieces: Iterable[bytes], executable: bool) -> StoredFile:
        return self._writer.put_file(pieces, executable)

    def put_open_file(self, fd: int, size: int, executable: bool) -> StoredFile:
        return self._writer.put_open_file(fd, size, executable)

    def put_directory(self, own: Entry, children: Iterable[Child], links: Links = ()) -> DirectoryRef:
        return DirectoryRef(_Staged(own, {child.entry.name: child for child in children}, links), bytes(32))


def is_archive(fd: int) -> bool:
    """Say whether an open file begins as a tar archive does, plain or compressed; moves its offset."""
    limits = TarLimits()
    try:
        with _open(fd) as stream:
            return next(iter_members(open_archive(stream, limits, lambda _: None), limits), None) is not None
    except (SourceError, HostileInput):
        return False


def _open(fd: int) -> BinaryIO:
    os.lseek(fd, 0, os.SEEK_SET)
    raw = open(os.dup(fd), "rb", buffering=0)  # noqa: SIM115
    first = os.pread(fd, len(_BZIP2), 0)
    return cast("BinaryIO", _Bzip2(raw) if first == _BZIP2 else raw)


class _Bzip2(RawIOBase):
    """The content of a bzip2 file. Import knows none of it; ADD has to."""

    def __init__(self, file: RawIOBase | BinaryIO) -> None:
        self._file = file
        self._limits = TarLimits()
        self._decompressor = BZ2Decompressor()
        self._consumed = 0
        self._produced = 0

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def read(self, size: int = -1) -> bytes:
        """Return some of the next bytes, at most `size`; b"" at the end."""
        while True:
            data = b""
            if self._decompressor.eof:
                data = self._decompressor.unused_data or self._more()
                if not data.startswith(_BZIP2[: len(data)]) or not data:
                    return b""  # bzip2 itself ignores what follows the last stream
                self._decompressor = BZ2Decompressor()
            elif self._decompressor.needs_input:
                data = self._more()
                if not data:
                    raise SourceError("the bzip2 data ends too early", hint="make the archive again")
            try:
                found = self._decompressor.decompress(data, _READ_BYTES if size < 0 else size)
            except (OSError, ValueError) as error:
                raise SourceError(f"the bzip2 data is damaged: {error}", hint="make the archive again") from error
            if found:
                self._produced += len(found)
                limits = self._limits
                if self._produced > limits.ratio_free_bytes and self._produced > self._consumed * limits.ratio:
                    raise HostileInput(f"the archive grew to {self._produced} bytes from {self._consumed}")
                return found

    def _more(self) -> bytes:
        data = self._file.read(_READ_BYTES) or b""
        self._consumed += len(data)
        return data


def _staged(directory: Node) -> _Staged:
    assert isinstance(directory.handle, _Staged)
    return directory.handle

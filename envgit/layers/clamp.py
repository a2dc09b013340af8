"""Clamp modification times (SOURCE_DATE_EPOCH), on disk and on the way into a tree: so two builds of the same are equal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from envgit.layers.descent import Descent
from envgit.model import Child, Directory, DirectoryRef, Entry, Links, StoredFile, TreeReader, TreeWriter

_NS = 1_000_000_000


def clamp_times(root_fd: int, epoch: int) -> None:
    """Give everything below an open directory, and itself, that was modified after `epoch` (seconds) that time.

    On disk, before it is read: a layer must show the times that its commit records. Raises OSError.
    """
    latest = epoch * _NS
    descent = Descent(root_fd)
    try:
        pending = [_clamp(root_fd, latest)]
        while pending:
            if pending[-1]:
                pending.append(_clamp(descent.enter(pending[-1].pop()), latest))
                continue
            pending.pop()
            fd = descent.fd
            if os.fstat(fd).st_mtime_ns > latest:
                os.utime(fd, ns=(latest, latest))
            if pending:
                descent.leave()
    finally:
        descent.close()


def _clamp(fd: int, latest: int) -> list[bytes]:
    """Clamp what is in the open directory but directories, which are returned: they change when something in them does."""
    directories = []
    with os.scandir(fd) as found:
        listing = list(found)
    for item in listing:
        name = os.fsencode(item.name)
        if item.is_dir(follow_symlinks=False):
            directories.append(name)
        elif item.stat(follow_symlinks=False).st_mtime_ns > latest:
            os.utime(name, ns=(latest, latest), dir_fd=fd, follow_symlinks=False)
    return directories


class ClampingWriter:
    """A TreeWriter that passes everything on, with no time later than `epoch` (seconds)."""

    def __init__(self, writer: TreeWriter, epoch: int) -> None:
        self._writer = writer
        self._latest = epoch * _NS

    def put_file(self, pieces: Iterable[bytes], executable: bool) -> StoredFile:
        return self._writer.put_file(pieces, executable)

    def put_open_file(self, fd: int, size: int, executable: bool) -> StoredFile:
        return self._writer.put_open_file(fd, size, executable)

    def put_directory(self, own: Entry, children: Iterable[Child], links: Links = ()) -> DirectoryRef:
        clamped = (Child(self._clamp(entry), content) for entry, content in children)
        return self._writer.put_directory(self._clamp(own), clamped, links)

    def _clamp(self, entry: Entry) -> Entry:
        return entry._replace(mtime_ns=self._latest) if entry.mtime_ns > self._latest else entry


def clamp_tree(root: DirectoryRef, epoch: int, reader: TreeReader, writer: TreeWriter) -> DirectoryRef:
    """Return a stored tree with no time later than `epoch` (seconds); files stay where they are stored."""
    clamping = ClampingWriter(writer, epoch)
    top = _Clamped(reader.read_directory(root))
    stack = [top]
    while True:
        here = stack[-1]
        if here.pending:
            stack.append(_Clamped(reader.read_directory(here.pending[-1][1])))
            continue
        stack.pop()
        links = () if stack else reader.read_links(root)
        ref = clamping.put_directory(here.directory.own, here.children(), links)
        if not stack:
            return ref
        stack[-1].written[stack[-1].pending.pop()[0]] = ref


class _Clamped:
    """A directory whose sub-directories are written before it."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.written: dict[bytes, DirectoryRef] = {}
        self.pending = [
            (name, child.content)
            for name, child in directory.children.items()
            if isinstance(child.content, DirectoryRef)
        ]

    def children(self) -> Iterator[Child]:
        for name, child in self.directory.children.items():
            ref = self.written.get(name)
            yield child if ref is None else Child(child.entry._replace(sha256=ref.sha256), ref)

"""Turn an overlayfs upper directory into the new tree: base + upper.

Only directories that are in the upper one are read, from the disk and from the base. What a copy-up merely copied
is compared away: an entry equal to the base's is the base's, a directory in which nothing differs keeps its reference.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from typing import NamedTuple

from envgit.errors import StorageError
from envgit.layers.attributes import list_xattrs
from envgit.layers.descent import Descent
from envgit.layers.ignore import IgnoreRules
from envgit.layers.inode import FILE_FLAGS, file_type, read_closed, read_open
from envgit.layers.memory_tree import hash_open_file
from envgit.layers.metadata import sort_links
from envgit.layers.tree_limits import MAX_DEPTH
from envgit.layers.whiteout import is_file_whiteout, is_whiteout, opacity, refuse_incomplete
from envgit.model import Child, Directory, DirectoryRef, DiskIds, Entry, Links, TreeReader, TreeWriter
from envgit.monitor import Monitor, NullMonitor

ATTEMPTS = 3
_NO_CHILDREN: Mapping[bytes, Child] = {}


class Captured(NamedTuple):
    """The new tree, and what of the upper directory is not in it."""

    root: DirectoryRef
    links: Links
    ignored: tuple[bytes, ...]
    """Topmost paths (also of whiteouts) that a rule kept out."""
    sockets: tuple[bytes, ...]
    unstable: tuple[bytes, ...]
    """Files that were written to while they were read."""
    opaque_volatile: tuple[bytes, ...]
    """Volatile directories that are opaque in upper although their recorded content is kept."""
    holders: tuple[tuple[bytes, Entry], ...]
    """Every directory above an ignored path or socket, parents first, with its attributes in the new tree."""


class _Frame:
    __slots__ = ("base", "base_ref", "changes", "holds_back", "ignored", "name", "opaque", "own", "path", "pending")

    def __init__(self, name: bytes, path: bytes, base: Directory | None, base_ref: DirectoryRef | None) -> None:
        self.name = name
        self.path = path
        self.base = base
        self.base_ref = base_ref
        self.own = Entry(b".", "d")
        self.changes: dict[bytes, Child | None] = {}
        self.pending: list[tuple[bytes, Child | None]] = []
        self.holds_back = False
        self.ignored = False
        """It matches the .envgitignore: what is not recorded already stays so."""
        self.opaque = False
        """It hides the base, which then only serves to recognise what is the same."""


class _Capture:
    def __init__(
        self,
        upper_fd: int,
        reader: TreeReader,
        writer: TreeWriter,
        disk_ids: DiskIds,
        ignore: IgnoreRules,
        monitor: Monitor,
    ) -> None:
        self.descent = Descent(upper_fd, MAX_DEPTH)
        self.reader = reader
        self.writer = writer
        self.disk_ids = disk_ids
        self.ignore = ignore
        self.monitor = monitor
        self.note_path: Callable[[bytes], None] | None = getattr(writer, "note_path", None)
        self.inodes: dict[tuple[int, int], tuple[Child, list[bytes]]] = {}
        self.cut: set[bytes] = set()
        self.ignored: list[bytes] = []
        self.sockets: list[bytes] = []
        self.unstable: list[bytes] = []
        self.opaque_volatile: list[bytes] = []
        self.holders: list[tuple[bytes, Entry]] = []

    def run(self, base_root: DirectoryRef | None) -> tuple[DirectoryRef, Links]:
        base_links = self.reader.read_links(base_root) if base_root is not None else ()
        top = self.list_directory(b"", b"", base_root, None)
        stack = [top]
        while True:
            frame = stack[-1]
            if frame.pending:
                name, base_child = frame.pending.pop()
                path = frame.path + name
                base_ref = base_child.content if base_child is not None else None
                assert base_ref is None or isinstance(base_ref, DirectoryRef)
                self.descent.enter(name)
                stack.append(self.list_directory(name, path, base_ref, frame))
                continue
            stack.pop()
            if frame.holds_back:
                self.holders.append((frame.path[:-1], frame.own))
            if not stack:
                links = self.links(base_links)
                return self.put(frame, links, base_links), links
            parent = stack[-1]
            parent.holds_back = parent.holds_back or frame.holds_back
            ref = self.put(frame, (), ())
            if ref != frame.base_ref:
                parent.changes[frame.name] = Child(Entry(frame.name, "d", sha256=ref.sha256), ref)
            self.descent.leave()

    def links(self, base_links: Links) -> Links:
        """Return the hard-link sets: those of the base among untouched paths, and those within upper."""
        sets = [[path for path in paths if not self.is_cut(path)] for paths in base_links]
        return sort_links([*sets, *(paths for _, paths in self.inodes.values())])

    def is_cut(self, path: bytes) -> bool:
        while path:
            if path in self.cut:
                return True
            path = path.rpartition(b"/")[0]
        return False

    def put(self, frame: _Frame, links: Links, base_links: Links) -> DirectoryRef:
        """Store the merged directory, or return the base's reference if it is the same."""
        base = frame.base
        if base is not None and frame.base_ref is not None:
            if not frame.changes and frame.own == base.own and links == base_links:
                return frame.base_ref
            merged = dict(base.children)
        else:
            merged = {}
        for name, child in frame.changes.items():
            if child is None:
                merged.pop(name, None)
            else:
                merged[name] = child
        return self.writer.put_directory(frame.own, [merged[name] for name in sorted(merged)], links)

    def list_directory(self, name: bytes, path: bytes, base_ref: DirectoryRef | None, parent: _Frame | None) -> _Frame:
        fd = self.descent.fd
        base = self.reader.read_directory(base_ref) if base_ref is not None else None
        frame = _Frame(name, path + b"/" if path else b"", base, base_ref)
        status = os.fstat(fd)
        frame.own = read_open(b".", fd, status, self.disk_ids, base.own if base is not None else None)
        attributes = list_xattrs(fd)
        relation = opacity(fd, attributes) if attributes else "merged"
        refuse_incomplete(attributes)
        with os.scandir(fd) as found:
            listing = sorted([(os.fsencode(item.name), item) for item in found], key=_first)
        if self.ignore.is_volatile(path):
            self.leave_volatile(frame, path, [child_name for child_name, _ in listing], relation == "opaque")
            return frame
        old_children = base.children if base is not None else _NO_CHILDREN
        if parent is not None:
            frame.ignored = parent.ignored or self.ignore.matches(path, True)
            frame.opaque = parent.opaque
        if relation == "opaque" or frame.opaque:
            frame.opaque = True
            self.cut.add(path)
            names = {child_name for child_name, _ in listing}
            frame.changes = {old: None for old in old_children if old not in names}
        for child_name, item in listing:
            old = old_children.get(child_name)
            try:
                self.take(frame, fd, child_name, item, old, relation == "xwhiteouts")
            except FileNotFoundError:
                self.monitor.warn(f"{_show(frame.path + child_name)} vanished while it was read")
                if old is not None:
                    frame.changes[child_name] = None
        frame.pending.reverse()
        return frame

    def leave_volatile(self, frame: _Frame, path: bytes, names: list[bytes], opaque: bool) -> None:
        """Record nothing of a directory's content, nor that its time changed with it."""
        self.ignored.extend(frame.path + name for name in names)
        if opaque and frame.base is not None:
            self.opaque_volatile.append(path)
        frame.holds_back = bool(names) or opaque
        if frame.base is not None:
            frame.own = frame.own._replace(mtime_ns=frame.base.own.mtime_ns)

    def take(
        self, frame: _Frame, fd: int, name: bytes, item: os.DirEntry[str], old: Child | None, xwhiteouts: bool
    ) -> None:
        """Account for one name in the upper directory."""
        path = frame.path + name
        is_directory = item.is_dir(follow_symlinks=False)
        if old is None and (frame.ignored or self.ignore.is_volatile(path) or self.ignore.matches(path, is_directory)):
            self.hold_back(frame, path, self.ignored)
            return
        if is_directory:
            if old is None and path in self.ignore.mount_points and self.is_bare(fd, name, path):
                self.hold_back(frame, path, self.ignored)
                return
            if old is not None and old.entry.type != "d":
                self.cut.add(path)
                old = None
            frame.pending.append((name, old))
            return
        status = item.stat(follow_symlinks=False)
        kind = file_type(status)
        if old is None and kind == "f" and self.ignore.is_placeholder(path, status.st_size):
            self.hold_back(frame, path, self.ignored)
            return
        self.cut.add(path)
        child: Child | None
        if kind is None:
            self.hold_back(frame, path, self.sockets)
            child = None
        elif is_whiteout(status):
            child = None
        else:
            child = self.read(frame, fd, name, status, old, xwhiteouts)
        if child != old:
            frame.changes[name] = child

    def is_bare(self, dir_fd: int, name: bytes, path: bytes) -> bool:
        """Say whether a directory that was made as a mount point is still as it was made: root's, 0755, with nothing but
        further mount points in it."""
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            status = os.fstat(fd)
            root = self.disk_ids.to_disk(0)
            if (status.st_mode & 0o7777, status.st_uid, status.st_gid) != (0o755, root, root):
                return False
            if any(not key.startswith(("user.overlay.", "security.")) for key in list_xattrs(fd)):
                return False
            with os.scandir(fd) as found:
                listing = list(found)
            for item in listing:
                below, child = path + b"/" + os.fsencode(item.name), os.fsencode(item.name)
                if item.is_dir(follow_symlinks=False):
                    if below not in self.ignore.mount_points or not self.is_bare(fd, child, below):
                        return False
                elif not (
                    item.is_file(follow_symlinks=False)
                    and self.ignore.is_placeholder(below, item.stat(follow_symlinks=False).st_size)
                ):
                    return False
            return True
        finally:
            os.close(fd)

    def hold_back(self, frame: _Frame, path: bytes, where: list[bytes]) -> None:
        where.append(path)
        frame.holds_back = True

    def read(
        self, frame: _Frame, fd: int, name: bytes, status: os.stat_result, old: Child | None, xwhiteouts: bool
    ) -> Child | None:
        inode = (status.st_dev, status.st_ino)
        if status.st_nlink > 1:
            known = self.inodes.get(inode)
            if known is not None:
                child, paths = known
                paths.append(frame.path + name)
                return Child(child.entry._replace(name=name), child.content)
        kind = file_type(status)
        if old is not None and old.entry.type != kind:
            old = None
        if kind == "f":
            read = self.read_file(frame.path, fd, name, old, xwhiteouts)
            if read is None:
                return None
            child = read
        else:
            child = Child(read_closed(name, fd, status, self.disk_ids, old.entry if old is not None else None), None)
        if status.st_nlink > 1:
            self.inodes[inode] = (child, [frame.path + name])
        return child

    def read_file(self, path: bytes, dir_fd: int, name: bytes, old: Child | None, xwhiteouts: bool) -> Child | None:
        """Return the file as a child; its content is stored unless it is the base's. None: it is a whiteout."""
        recorded = old.entry if old is not None else None
        fd = os.open(name, FILE_FLAGS, dir_fd=dir_fd)
        try:
            for _ in range(ATTEMPTS):
                before = os.fstat(fd)
                if not stat.S_ISREG(before.st_mode):
                    raise FileNotFoundError
                if before.st_size == 0 or xwhiteouts:
                    attributes = list_xattrs(fd)
                    if xwhiteouts and is_file_whiteout(before, attributes):
                        return None
                entry = read_open(name, fd, before, self.disk_ids, recorded)
                child = self.read_content(path, fd, entry, old)
                after = os.fstat(fd)
                if after.st_mtime_ns == before.st_mtime_ns and after.st_size == before.st_size == child.entry.size:
                    return child
        finally:
            os.close(fd)
        self.unstable.append(path + name)
        self.monitor.warn(f"{_show(path + name)} was written to while it was read")
        return child

    def read_content(self, path: bytes, fd: int, entry: Entry, old: Child | None) -> Child:
        digest = None
        if old is not None and old.entry.size == entry.size and old.entry.sha256 is not None:
            digest = hash_open_file(fd)
            if digest == old.entry.sha256:
                return Child(entry._replace(sha256=digest, sparse=old.entry.sparse), old.content)
        if self.note_path is not None:
            self.note_path(path + entry.name)
        os.lseek(fd, 0, os.SEEK_SET)
        stored = self.writer.put_open_file(fd, entry.size, entry.mode & 0o111 != 0)
        return Child(entry._replace(size=stored.size, sha256=stored.sha256 or digest), stored.content)


def capture(
    upper_fd: int,
    base_root: DirectoryRef | None,
    reader: TreeReader,
    writer: TreeWriter,
    disk_ids: DiskIds,
    ignore: IgnoreRules | None = None,
    monitor: Monitor | None = None,
) -> Captured:
    """Return what is seen through a mount of the open upper directory over `base_root`, stored with `writer`.

    With a MemoryTree as `writer` nothing is stored: that is `status`. A `writer` may have a method `note_path(path)`;
    it is called before each `put_open_file`. Hard links: as overlayfs with index=off shows them, that is, a
    copied-up name has left its set. Raises CorruptObject for a damaged base or an upper directory written with
    redirect_dir or metacopy, StorageError when the disk or a concurrent move gets in the way.
    """
    job = _Capture(upper_fd, reader, writer, disk_ids, ignore or IgnoreRules(), monitor or NullMonitor())
    try:
        root, links = job.run(base_root)
    except OSError as error:
        raise StorageError(f"the changes cannot be read: {error.strerror}") from error
    finally:
        job.descent.close()
    return Captured(
        root,
        links,
        tuple(job.ignored),
        tuple(job.sockets),
        tuple(job.unstable),
        tuple(job.opaque_volatile),
        tuple(sorted(job.holders)),
    )


def _first(pair: tuple[bytes, os.DirEntry[str]]) -> bytes:
    return pair[0]


def _show(path: bytes) -> str:
    return ascii(path.decode("utf-8", "surrogateescape"))

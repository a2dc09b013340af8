"""Copies single files of this machine into a tree under construction."""

from __future__ import annotations

import hashlib
import os
import stat

from envgit.layers.assemble import TreeAssembler
from envgit.layers.sources.source import LeftOut
from envgit.layers.sources.tar_attributes import capability_v2
from envgit.model import Entry, TreeWriter

_MAX_LINKS = 40


class HostCopy:
    """The tree that is being made, and where its files come from.

    Paths are absolute bytes as dpkg writes them; in the tree they have no leading slash. Folders that are symbolic
    links on this machine (/bin, /lib) are followed below `root` only, so that a file is stored once, where it is.
    """

    def __init__(self, root: str, writer: TreeWriter, directory_mtime_ns: int) -> None:
        self._directory_mtime_ns = directory_mtime_ns
        self._root = os.fsencode(root.rstrip("/"))
        self._writer = writer
        self.assembler = TreeAssembler(writer)
        self.left_out: list[LeftOut] = []
        self.paths: set[bytes] = set()
        """Canonical paths in the tree, with leading slash; directories too."""
        self._folders: dict[bytes, bytes] = {b"": b""}
        self._inodes: dict[tuple[int, int], bytes] = {}
        self.uids: frozenset[int] = frozenset((0,))
        self.gids: frozenset[int] = frozenset((0,))

    def on_host(self, path: bytes) -> bytes:
        """Return the path on this machine of an absolute `path` below the root."""
        return self._root + path

    def canonical(self, path: bytes) -> bytes:
        """Return `path` with its folder's symbolic links followed; the last component is not."""
        folder, _, name = path.rstrip(b"/").rpartition(b"/")
        return self._folder(folder, 0) + b"/" + name

    def exists(self, path: bytes) -> bool:
        """Say whether the tree has `path` (given the folder links of this machine)."""
        return self.canonical(path) in self.paths

    def leave_out(self, path: bytes, reason: str) -> None:
        self.left_out.append(LeftOut(path.lstrip(b"/"), reason))

    def add_from_host(self, path: bytes, place: bytes, checksum: bytes | None) -> None:
        """Add what is at `place` on this machine as `path`. Raises OSError. A file whose MD5 is not `checksum` is
        kept and reported."""
        canonical = self.canonical(path)
        source = self.on_host(self.canonical(place))
        status = os.lstat(source)
        kind = stat.S_IFMT(status.st_mode)
        if canonical in self.paths and kind == stat.S_IFDIR:
            return
        entry = self._entry(canonical, status)
        if kind == stat.S_IFDIR:
            # What happened in a directory of this machine is no property of the package.
            self._add(canonical, entry._replace(type="d", mtime_ns=self._directory_mtime_ns))
        elif kind == stat.S_IFLNK:
            self._add(canonical, entry._replace(type="l", mode=0, target=os.readlink(source)))
        elif kind == stat.S_IFREG:
            self._add_file(canonical, source, entry, status, checksum)
        else:
            self.leave_out(canonical, "it is neither a file nor a directory nor a symbolic link")

    def add_file(self, path: bytes, content: bytes, mode: int = 0o644, gid: int = 0, mtime_ns: int = 0) -> None:
        """Add a made file."""
        stored = self._writer.put_file([content], bool(mode & 0o111))
        entry = Entry(b"", "f", mode, 0, gid, mtime_ns, stored.size, stored.sha256)
        self._add(self.canonical(path), entry, stored.content)

    def add_directory(self, path: bytes, mode: int = 0o755, gid: int = 0, mtime_ns: int = 0) -> None:
        """Add a made directory unless there is one already."""
        canonical = self.canonical(path)
        if canonical not in self.paths:
            self._add(canonical, Entry(b"", "d", mode, 0, gid, mtime_ns))

    def add_link(self, path: bytes, target: bytes, mtime_ns: int = 0) -> None:
        """Add a made symbolic link."""
        self._add(self.canonical(path), Entry(b"", "l", 0, 0, 0, mtime_ns, target=target))

    def _add(self, canonical: bytes, entry: Entry, content: object | None = None) -> None:
        self.assembler.add(canonical[1:], entry, content)
        self.paths.add(canonical)

    def _add_file(
        self, canonical: bytes, source: bytes, entry: Entry, status: os.stat_result, checksum: bytes | None
    ) -> None:
        inode = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and inode in self._inodes:
            self.assembler.add_link(canonical[1:], self._inodes[inode][1:])
            self.paths.add(canonical)
            return
        fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if checksum is not None and file_md5(fd) != checksum:
                self.leave_out(canonical, "the package's original: this machine's file differs and came along instead")
            try:
                capability = capability_v2(os.getxattr(fd, "security.capability"))
            except OSError:
                capability = None
            stored = self._writer.put_open_file(fd, status.st_size, bool(entry.mode & 0o111))
        finally:
            os.close(fd)
        xattrs = ((b"security.capability", capability),) if capability else ()
        entry = entry._replace(type="f", size=stored.size, sha256=stored.sha256, xattrs=xattrs)
        self._add(canonical, entry, stored.content)
        if status.st_nlink > 1:
            self._inodes[inode] = canonical

    def _entry(self, canonical: bytes, status: os.stat_result) -> Entry:
        uid, gid = status.st_uid, status.st_gid
        if uid not in self.uids or gid not in self.gids:
            self.leave_out(canonical, f"its owner {uid}:{gid}, an account of this machine; root's is used")
            uid, gid = uid if uid in self.uids else 0, gid if gid in self.gids else 0
        return Entry(b"", "f", stat.S_IMODE(status.st_mode), uid, gid, status.st_mtime_ns)

    def _folder(self, folder: bytes, depth: int) -> bytes:
        known = self._folders.get(folder)
        if known is not None:
            return known
        parent, _, name = folder.rpartition(b"/")
        path = self._folder(parent, depth) + b"/" + name
        try:
            target = os.readlink(self.on_host(path))
        except OSError:
            result = path
        else:
            if depth >= _MAX_LINKS:
                raise OSError(40, "too many symbolic links", os.fsdecode(folder))
            joined = target if target.startswith(b"/") else path.rpartition(b"/")[0] + b"/" + target
            result = self._folder(b"/" + os.path.normpath(joined).lstrip(b"/"), depth + 1)
            result = b"" if result == b"/" else result
        self._folders[folder] = result
        return result


def file_md5(fd: int) -> bytes:
    """Return the MD5 of an open file in hex, as dpkg records it. Its position is at the start again afterwards."""
    digest = hashlib.md5(usedforsecurity=False)
    while data := os.read(fd, 1 << 20):
        digest.update(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return digest.hexdigest().encode()

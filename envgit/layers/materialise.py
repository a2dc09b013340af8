"""Write a tree, or the overlay layer that turns one tree into another, into an empty directory.

First everything is read and checked, then written: O_EXCL, O_NOFOLLOW, one name at a time below a descriptor; of each
inode the owner, then attributes, then mode, then time. Nothing is durable before the caller's syncfs.

A second process may write a part of the plain files that have one name (two_writers.py). Everything else is the first one's: hard
links, special files, whiteouts, and the attributes of directories, which it sets when both are through.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NamedTuple

from envgit.errors import CorruptObject, HostileInput, StorageError
from envgit.layers.attributes import change_owner, write_attributes, write_xattrs
from envgit.layers.descent import Descent, open_beneath
from envgit.layers.edge import NOTHING_FORCED, DirectoryPlan, Forced, plan_directory, plan_forced
from envgit.layers.metadata import kernel_device
from envgit.layers.reuse import Reuse
from envgit.layers.sparse import write_dense, write_sparse
from envgit.layers.tree_limits import MAX_DEPTH, MAX_ENTRIES
from envgit.layers.two_writers import WORTH_BYTES, Fork, SecondWriter, Split, may_help
from envgit.layers.whiteout import make_opaque, make_whiteout
from envgit.model import Child, Directory, DirectoryRef, DiskIds, Entry, TreeReader
from envgit.monitor import Monitor, NullMonitor

CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Materialised(NamedTuple):
    entries: int
    """Names written, directories and whiteouts among them."""
    size: int
    """Bytes of the files written; linked ones do not count."""
    reused: int
    """Files hard-linked from another layer."""


class _Frame(NamedTuple):
    name: bytes
    path: bytes
    """With a trailing slash, b"" for the root."""
    own: Entry
    opaque: bool
    plan: DirectoryPlan
    layers: tuple[int, ...]
    """Indices of the layers that may hold this directory (reuse)."""


class _Done(NamedTuple):
    """A directory that is filled, and gets its attributes when the second process has filled it too."""

    depth: int
    name: bytes
    own: Entry
    opaque: bool


class _Materialise:
    def __init__(
        self,
        reader: TreeReader,
        target: DirectoryRef,
        base: DirectoryRef | None,
        disk_ids: DiskIds,
        monitor: Monitor,
        devices: bool,
    ) -> None:
        self.reader = reader
        self.target = target
        self.base = base
        self.disk_ids = disk_ids
        self.monitor = monitor
        self.devices = devices
        links = reader.read_links(target)
        self.forced: Forced = plan_forced(links, reader.read_links(base)) if base is not None else NOTHING_FORCED
        self.members = {path: names for names in links for path in names}
        self.first: dict[tuple[bytes, ...], bytes] = {}
        self.owner = (os.geteuid(), os.getegid())
        self.split: Split | None = None
        self.second: SecondWriter | None = None
        self.entries = 0
        self.size = 0

    def plan(self, path: bytes, target: DirectoryRef, base: DirectoryRef | None) -> tuple[Directory, DirectoryPlan]:
        directory = self.reader.read_directory(target)
        old = self.reader.read_directory(base) if base is not None else None
        return directory, plan_directory(path, directory, old, self.forced, devices=self.devices)

    def check(self, split: Split | None = None) -> int:
        """Read everything there is to write but content; return the bytes it will take. Writes nothing. Fills `split`."""
        entries = size = 0
        inodes: dict[tuple[bytes, ...], tuple[Entry, object]] = {}
        met: set[bytes] = set()
        todo: list[tuple[bytes, DirectoryRef, DirectoryRef | None, int]] = [(b"", self.target, self.base, 0)]
        while todo:
            path, target, base, depth = todo.pop()
            directory, plan = self.plan(path, target, base)
            entries += len(plan.writes) + len(plan.whiteouts) + len(plan.descend)
            if entries > MAX_ENTRIES:
                raise HostileInput(f"the tree has more than {MAX_ENTRIES} entries")
            if depth > MAX_DEPTH:
                raise HostileInput(f"the tree is more than {MAX_DEPTH} directories deep")
            for child in plan.writes:
                entry = child.entry
                if not entry.sparse:
                    size += entry.size
            if self.members:
                for name, child in directory.children.items():
                    names = self.members.get(path + name)
                    if names is not None:
                        met.add(path + name)
                        alike = (child.entry._replace(name=b""), child.content)
                        if child.entry.type == "d" or inodes.setdefault(names, alike) != alike:
                            raise CorruptObject(f"{_show(path + name)} differs from the files it is linked with")
            if split is not None:
                split.add(depth, self.shareable(path, plan))
            for below in plan.descend:
                todo.append((path + below.name + b"/", below.target, below.base, depth + 1))
        missing = (self.members.keys() if self.base is None else self.members.keys() & self.forced.paths) - met
        if missing:
            raise CorruptObject(f"{_show(min(missing))} is in a hard-link set and does not exist")
        self.monitor.start("materialising", entries, "files")
        return size

    def shareable(self, path: bytes, plan: DirectoryPlan) -> list[Child]:
        """Return the files of a directory that either process may write."""
        files = [child for child in plan.writes if child.entry.type == "f"]
        return [child for child in files if path + child.entry.name not in self.members] if self.members else files

    def write(self, dest_fd: int, reuse: Reuse) -> None:
        descent = Descent(dest_fd)
        done: list[_Done] = []
        try:
            directory, plan = self.plan(b"", self.target, self.base)
            stack = [_Frame(b"", b"", directory.own, False, plan, reuse.all_layers())]
            layers = self.fill(stack[0], dest_fd, reuse, 0)
            pending = [(plan.descend, layers)]
            place = 0
            if self.split is not None:
                done.append(_Done(0, b"", directory.own, False))
            while stack:
                descend, layers = pending[-1]
                frame = stack[-1]
                if descend:
                    below = descend.pop()
                    place += 1
                    path = frame.path + below.name
                    self.make_directory(below.name, descent.fd)
                    fd = descent.enter(below.name)
                    directory, plan = self.plan(path + b"/", below.target, below.base)
                    stack.append(_Frame(below.name, path + b"/", directory.own, below.opaque, plan, layers))
                    pending.append((plan.descend, self.fill(stack[-1], fd, reuse, place)))
                    if self.split is not None:
                        done.append(_Done(descent.depth, below.name, directory.own, below.opaque))
                    continue
                if self.split is None:
                    self.close_directory(descent.fd, frame.own, frame.opaque)
                stack.pop()
                pending.pop()
                if stack:
                    descent.leave()
        finally:
            descent.close()
        if self.second is not None:
            size, warnings = self.second.finish()
            self.size += size
            self.monitor.advance(self.second.news())
            for warning in warnings:
                self.monitor.warn(warning)
            self.close_directories(dest_fd, done)

    def share(self, split: Split, fork: Fork, dest_fd: int) -> None:
        """Start the second process."""
        split.finish()
        self.split = split
        self.second = SecondWriter(fork, lambda tally: self.write_second(dest_fd, tally))

    def end_second(self) -> None:
        if self.second is not None:
            self.second.kill()

    def write_second(self, dest_fd: int, monitor: Monitor) -> int:
        """Write what the second process is to write, in that process; return the bytes. Directories of the way are made."""
        split = self.split
        assert split is not None
        self.monitor = monitor
        descent = Descent(dest_fd)
        place, depth = 0, 0
        todo = [(0, b"", b"", self.target, self.base)]
        try:
            while todo:
                level, name, path, target, base = todo.pop()
                here = place
                place = split.end(here)
                if not split.has_second(here):
                    continue
                place = here + 1
                while depth >= level > 0:
                    descent.leave()
                    depth -= 1
                if level:
                    self.make_directory(name, descent.fd)
                    descent.enter(name)
                    depth += 1
                _, plan = self.plan(path, target, base)
                mine = split.deal(here, self.shareable(path, plan))[1]
                for child in mine:
                    self.write_file(child, path, descent.fd)
                monitor.advance(len(mine))
                todo += [
                    (level + 1, each.name, path + each.name + b"/", each.target, each.base) for each in plan.descend
                ]
        finally:
            descent.close()
        return self.size

    def make_directory(self, name: bytes, dir_fd: int) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=dir_fd)
        except FileExistsError:
            if self.split is None:  # else the other process was here first
                raise

    def close_directory(self, fd: int, own: Entry, opaque: bool) -> None:
        if opaque:
            make_opaque(fd)
        write_attributes(fd, own, self.disk_ids, self.owner, self.monitor.warn)

    def close_directories(self, dest_fd: int, done: list[_Done]) -> None:
        """Give directories, in the order of the walk, their attributes: each after all that are below it."""
        descent = Descent(dest_fd)
        path: list[_Done] = []
        try:
            for each in done:
                while len(path) > each.depth:
                    last = path.pop()
                    self.close_directory(descent.fd, last.own, last.opaque)
                    descent.leave()
                if each.depth:
                    descent.enter(each.name)
                path.append(each)
            while path:
                last = path.pop()
                self.close_directory(descent.fd, last.own, last.opaque)
                if path:
                    descent.leave()
        finally:
            descent.close()

    def prepare(self, dest_fd: int) -> None:
        """Keep what the destination would pass on to its children (set-group-id, default ACL) from them."""
        if os.listdir(dest_fd):
            raise StorageError("the directory to materialise into is not empty")
        status = os.fstat(dest_fd)
        if (status.st_uid, status.st_gid) != self.owner:
            change_owner(dest_fd, *self.owner, b".")
        os.fchmod(dest_fd, 0o700)
        if "system.posix_acl_default" in os.listxattr(dest_fd):
            os.removexattr(dest_fd, "system.posix_acl_default")

    def fill(self, frame: _Frame, fd: int, reuse: Reuse, place: int) -> tuple[int, ...]:
        """Write everything but sub-directories and what the second process writes; return the layers that matter below."""
        plan = frame.plan
        others: set[bytes] = set()
        news = 0
        if self.split is not None and self.second is not None:
            others = {child.entry.name for child in self.split.deal(place, self.shareable(frame.path, plan))[1]}
            news = self.second.news()
            if self.second.has_failed():
                self.second.finish()
        for name in plan.whiteouts:
            make_whiteout(name, fd)
        layers = reuse.enter(frame.path, frame.layers)
        try:
            for child in plan.writes:
                if child.entry.name not in others:
                    self.write_child(child, frame.path, fd, reuse)
        finally:
            reuse.leave()
        amount = len(plan.writes) + len(plan.whiteouts) + len(plan.descend)
        self.entries += amount
        self.monitor.advance(amount - len(others) + news)
        return layers

    def write_child(self, child: Child, path: bytes, dir_fd: int, reuse: Reuse) -> None:
        entry = child.entry
        name = entry.name
        if self.members:
            names = self.members.get(path + name)
            if names is not None:
                first = self.first.setdefault(names, path + name)
                if first != path + name and self.link(first, name, dir_fd, reuse.root_fd):
                    return
        if entry.type != "f":
            self.write_special(entry, dir_fd)
            return
        if not reuse.link(entry, dir_fd):
            self.write_file(child, path, dir_fd)

    def write_file(self, child: Child, path: bytes, dir_fd: int) -> None:
        entry = child.entry
        name = entry.name
        fd = os.open(name, CREATE_FLAGS, 0o600, dir_fd=dir_fd)
        try:
            pieces = self.reader.iter_content(child)
            written = write_sparse(fd, pieces) if entry.sparse else write_dense(fd, pieces)
            if written != entry.size:
                raise CorruptObject(f"{_show(path + name)} has {written} bytes instead of {entry.size}")
            write_attributes(fd, entry, self.disk_ids, self.owner, self.monitor.warn)
        finally:
            os.close(fd)
        self.size += written

    def link(self, first: bytes, name: bytes, dir_fd: int, root_fd: int) -> bool:
        directory, _, source = first.rpartition(b"/")
        source_fd = open_beneath(root_fd, directory)
        try:
            os.link(source, name, src_dir_fd=source_fd, dst_dir_fd=dir_fd, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            self.monitor.warn(f"{_show(name)} has too many hard links for this filesystem; it became a file of its own")
            return False
        finally:
            os.close(source_fd)
        return True

    def write_special(self, entry: Entry, dir_fd: int) -> None:
        name = entry.name
        uid, gid = self.disk_ids.to_disk(entry.uid), self.disk_ids.to_disk(entry.gid)
        if entry.type == "l":
            os.symlink(entry.target, name, dir_fd=dir_fd)
        elif entry.type == "p":
            os.mkfifo(name, 0o600, dir_fd=dir_fd)
        else:
            kind = 0o020000 if entry.type == "c" else 0o060000
            os.mknod(name, kind | 0o600, os.makedev(*kernel_device(entry)), dir_fd=dir_fd)
        if (uid, gid) != self.owner:
            os.chown(name, uid, gid, dir_fd=dir_fd, follow_symlinks=False)
        path = b"/proc/self/fd/%d/%b" % (dir_fd, name)
        if entry.xattrs:
            write_xattrs(path, entry, self.disk_ids, self.monitor.warn)
        if entry.type != "l":
            os.chmod(path, entry.mode)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=dir_fd, follow_symlinks=False)


def materialise(
    target_root: DirectoryRef,
    base_root: DirectoryRef | None,
    reader: TreeReader,
    dest_fd: int,
    disk_ids: DiskIds,
    *,
    monitor: Monitor | None = None,
    link_from: Sequence[int] = (),
    devices: bool = False,
    fork: Fork | None = None,
    worth_sharing_bytes: int = WORTH_BYTES,
) -> Materialised:
    """Write `target_root` into the empty directory `dest_fd`: whole, or as the layer over `base_root`.

    `link_from`: open layers, top first, whose stack already shows `target_root`; files are hard-linked from there where
    the filesystem allows it. Device nodes are not created unless `devices` (an export by root). Raises CorruptObject
    or HostileInput, mostly before anything is written, StorageError when the disk fails. After an error the directory
    is incomplete; the caller throws it away.

    `fork`: how to start a second process, which is done where there are `worth_sharing_bytes` to write, nothing to link and two
    processors. `reader` has to work in both. When this returns or raises, it has ended.
    """
    monitor = monitor or NullMonitor()
    job = _Materialise(reader, target_root, base_root, disk_ids, monitor, devices)
    split = Split() if fork is not None and not link_from and may_help() else None
    try:
        size = job.check(split)
        space = os.fstatvfs(dest_fd)
        if not link_from and size > space.f_bavail * space.f_frsize:
            raise StorageError(
                f"{size} bytes are to be written and {space.f_bavail * space.f_frsize} are free",
                hint="free some space, for example with `envgit gc`",
            )
        reuse = Reuse(dest_fd, link_from, disk_ids)
        job.prepare(dest_fd)
        if split is not None and fork is not None and size >= worth_sharing_bytes:
            job.share(split, fork, dest_fd)
        job.write(dest_fd, reuse)
    except OSError as error:
        raise StorageError(f"the files cannot be written: {error.strerror}") from error
    finally:
        job.end_second()
    monitor.finish()
    return Materialised(job.entries, job.size, reuse.linked)


def _show(path: bytes) -> str:
    return ascii(path.decode("utf-8", "surrogateescape"))

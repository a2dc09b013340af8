"""Import of a tar archive: streamed into the store, never extracted."""

from __future__ import annotations

from typing import BinaryIO

from envgit.errors import HostileInput
from envgit.layers.assemble import TreeAssembler
from envgit.layers.metadata import NAME_MAX_BYTES
from envgit.layers.sources.counting import CountingWriter
from envgit.layers.sources.decompress import ArchiveBytes, open_archive
from envgit.layers.sources.source import Imported, LeftOut
from envgit.layers.sources.tar_attributes import read_attributes
from envgit.layers.sources.tar_header import display
from envgit.layers.sources.tar_limits import TarLimits
from envgit.layers.sources.tar_members import TarMember, iter_members
from envgit.model import Entry, FileType, TreeWriter, Xattrs
from envgit.monitor import Monitor

_AGAIN = "make the archive again with names below its root: tar -C DIR -c ."
_SIMPLE_TYPES: dict[bytes, FileType] = {b"5": "d", b"2": "l", b"3": "c", b"4": "b", b"6": "p", b"D": "d"}
_SKIPPED_TYPES = {
    b"V": "a volume label, not a file",
    b"A": "a Solaris ACL, not a file",
    b"E": "a Solaris attribute file, not a file",
}


def import_tar(stream: BinaryIO, writer: TreeWriter, monitor: Monitor, limits: TarLimits | None = None) -> Imported:
    """Store the root filesystem that the archive in `stream` holds.

    `stream` is read once, to its end. Memory depends on the number of entries, not on their sizes. Raises
    SourceError (unreadable, truncated, damaged) and HostileInput (would escape, collide or exhaust); both name
    the member. Nothing of it is durable then.
    """
    limits = limits or TarLimits()
    data = open_archive(stream, limits, monitor.advance)
    state = TarImport(CountingWriter(writer), limits, monitor)
    for member in iter_members(data, limits):
        try:
            state.take(member)
        except HostileInput as error:
            if error.hint is None:
                error.hint = _AGAIN
            raise
    drain(data, monitor)
    return state.finish()


class TarImport:
    """The state of one import."""

    def __init__(
        self, writer: CountingWriter, limits: TarLimits, monitor: Monitor, assembler: TreeAssembler | None = None
    ) -> None:
        self._writer = writer
        self._assembler = assembler or TreeAssembler(writer, max_entries=limits.entries)
        self._limits = limits
        self._monitor = monitor
        self._left_out: list[LeftOut] = []
        self._content_bytes = 0
        self._hole_bytes = 0

    def take(self, member: TarMember) -> None:
        self._put(member_path(member.name, "the name"), member)

    def _put(self, path: bytes, member: TarMember) -> None:
        if member.type == b"1":
            self._take_link(path, member)
        elif member.type == b"0":
            self._take_file(path, member)
        elif member.type in _SIMPLE_TYPES:
            self._assembler.add(path, self._entry(path, member, _SIMPLE_TYPES[member.type]))
        elif member.type == b"M":
            raise HostileInput(
                f"{display(member.name)} continues a file of another archive (multi-volume tar)",
                hint="join the volumes with tar -M -x, then import the directory with dir:PATH",
            )
        else:
            shown = member.type.decode("ascii", "backslashreplace")
            self._leave_out(path, _SKIPPED_TYPES.get(member.type, f"its type {shown!r} is not known"))

    def _take_link(self, path: bytes, member: TarMember) -> None:
        target = member_path(member.linkname, f"the hard link {display(member.name)} to")
        there = self._assembler.get(target) if target else None
        if there is None or there.type == "d":
            why = "is a directory" if there is not None or not target else "is not in the archive before it"
            raise HostileInput(
                f"{display(member.name)} is a hard link to {display(member.linkname)}, which {why}",
                hint="make the archive again from the whole root directory: tar -C DIR -c .",
            )
        self._assembler.add_link(path, target)

    def _take_file(self, path: bytes, member: TarMember) -> None:
        if not path:
            raise HostileInput("the root of the archive is a file, not a directory", hint=_AGAIN)
        holes = member.sparse.holes if member.sparse is not None else 0
        self._hole_bytes += holes
        self._content_bytes += member.size - holes
        if self._hole_bytes > self._limits.hole_bytes or self._content_bytes > self._limits.content_bytes:
            raise HostileInput(
                f"with {display(member.name)} the archive unpacks to more than is reasonable "
                f"({self._content_bytes} bytes of data, {self._hole_bytes} of holes)",
                hint="leave the file out (tar --exclude), or import the directory with dir:PATH",
            )
        entry = self._entry(path, member, "f")
        stored = self._writer.put_file(member.pieces(), bool(member.mode & 0o111))
        entry = entry._replace(size=stored.size, sha256=stored.sha256, sparse=holes > 0)
        self._assembler.add(path, entry, stored.content)

    def _entry(self, path: bytes, member: TarMember, type_: FileType) -> Entry:
        xattrs: Xattrs = ()
        if member.headers:
            xattrs, reasons = read_attributes(member.headers)
            for reason in reasons:
                self._leave_out(path, reason)
        if member.time_was_clamped:
            self._leave_out(path, "its time is beyond what a filesystem can hold; the nearest one is used")
        if type_ == "l" and not 0 < len(member.linkname) < 4096:
            raise HostileInput(
                f"{display(member.name)} is a symbolic link with a target of {len(member.linkname)} bytes",
                hint="make the archive again without it (tar --exclude)",
            )
        if type_ == "c" and member.device == (0, 0):
            raise HostileInput(
                f"{display(member.name)} is a character device 0:0, the mark of a deleted file in a layer",
                hint="import a whole root filesystem (docker export, podman export), not a layer of an image",
            )
        return Entry(
            name=path.rpartition(b"/")[2] or b".",
            type=type_,
            mode=0 if type_ == "l" else member.mode,
            uid=member.uid,
            gid=member.gid,
            mtime_ns=member.mtime_ns,
            target=member.linkname if type_ == "l" else b"",
            device=member.device if type_ in ("c", "b") else None,
            xattrs=xattrs,
        )

    def _leave_out(self, path: bytes, reason: str) -> None:
        self._left_out.append(LeftOut(path, reason))

    def finish(self) -> Imported:
        top = self._assembler
        if top.get(b"oci-layout") or (top.get(b"manifest.json") and not top.get(b"etc")):
            self._monitor.warn(
                "this looks like an archive of a container image, not of a root filesystem: "
                "use docker export or podman export of a container to make one"
            )
        assembled = top.finish()
        return Imported(
            root=assembled.root,
            links=assembled.links,
            files=assembled.files,
            directories=self._writer.directories,
            bytes=self._content_bytes + self._hole_bytes,
            left_out=tuple(sorted(self._left_out)),
        )


def member_path(name: bytes, what: str) -> bytes:
    """Return `name` without leading `./`, doubled slashes and the like; b"" is the root. Raises HostileInput for
    names that lead out of it."""
    if name.startswith(b"/"):
        raise HostileInput(f"{what} {display(name)} in the archive is absolute", hint=_AGAIN)
    if b"\0" in name or not name:
        raise HostileInput(f"{what} {display(name)!r} in the archive is no file name", hint=_AGAIN)
    components = [component for component in name.split(b"/") if component not in (b"", b".")]
    if b".." in components:
        raise HostileInput(f"{what} {display(name)} in the archive leads out with '..'", hint=_AGAIN)
    path = b"/".join(components)
    if max(map(len, components), default=0) > NAME_MAX_BYTES:
        raise HostileInput(
            f"{what} {display(name)} in the archive has a part of more than {NAME_MAX_BYTES} bytes",
            hint="make the archive again without it (tar --exclude)",
        )
    return path


def drain(data: ArchiveBytes, monitor: Monitor) -> None:
    """Read to the end: checksums are there, and the program that writes a pipe is not killed by SIGPIPE."""
    ignored = False
    while piece := data.read(1024 * 1024):
        ignored = ignored or piece.count(0) != len(piece)
    if ignored:
        monitor.warn("what follows the end mark of the archive was not imported (join archives with tar -A)")

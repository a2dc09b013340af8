"""The values every room shares: entries, directories, ids on disk, environment configuration.

Nothing here touches a disk or imports anything above `errors`. Entry is a NamedTuple, not a
dataclass: an import makes hundreds of thousands of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from envgit.light_typing import Literal, NamedTuple, Protocol, TypeAlias

FileType: TypeAlias = Literal["f", "d", "l", "p", "c", "b"]
"""Regular file, directory, symbolic link, FIFO, character device, block device (docs/format.md section 4)."""

Xattrs: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""(name, value) pairs sorted by name; only the attributes that the format stores."""

Links: TypeAlias = tuple[tuple[bytes, ...], ...]
"""Hard-link sets: each a sorted tuple of two or more paths; the sets sorted."""

CHUNKED_ABOVE_BYTES = 8 * 1024 * 1024

ZEROS = bytes(1024 * 1024)
"""A piece of a hole. Whoever reads files hands out this very object again and again: it stays in the processor's cache."""


class Entry(NamedTuple):
    """What a name in a directory is, apart from the bytes of its content.

    A directory's Entry in its parent's listing carries only name, type and sha256; its attributes are
    in the `own` Entry (name b".") of its Directory.
    """

    name: bytes
    type: FileType
    mode: int = 0
    """Permission bits with setuid, setgid, sticky: 0 to 0o7777; 0 for symbolic links."""
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    """Bytes; regular files only."""
    sha256: bytes | None = None
    """32 bytes: file content, or a directory's metadata blob. None: not computed yet (uncommitted file)."""
    target: bytes = b""
    """Of a symbolic link."""
    device: tuple[int, int] | None = None
    """(major, minor) of a device node."""
    sparse: bool = False
    xattrs: Xattrs = ()


class Content(Protocol):
    """Opaque: where the bytes of a file are. Made by a TreeWriter or TreeReader, understood by its maker."""


class DirectoryRef(NamedTuple):
    """Names a stored directory: `content` (git tree id, or an in-memory handle) and the SHA-256 of its metadata."""

    content: object
    sha256: bytes


class Child(NamedTuple):
    """An entry and where its content is: a Content for files, a DirectoryRef for directories, None for the rest."""

    entry: Entry
    content: object | None


class Directory(NamedTuple):
    """A whole directory. `own.name` is b"."; `children` iterates in name order."""

    own: Entry
    children: Mapping[bytes, Child]
    links_sha256: bytes | None = None


class TreeReader(Protocol):
    """Reads stored directories. Raises CorruptObject; verifies every SHA-256 it hands out."""

    def read_directory(self, ref: DirectoryRef) -> Directory: ...

    def read_links(self, root: DirectoryRef) -> Links: ...

    def iter_content(self, child: Child) -> Iterator[bytes]:
        """Yield the file's bytes in pieces of at most 8 MiB, verified as a whole against `child.entry.sha256`:
        CorruptObject is raised at the latest instead of the end of the iteration."""


class StoredFile(NamedTuple):
    content: object
    sha256: bytes | None
    size: int


class TreeWriter(Protocol):
    """Writes files and directories bottom-up; nothing is durable before its session ends."""

    def put_file(self, pieces: Iterable[bytes], executable: bool) -> StoredFile:
        """Store one file's content given in pieces of any size. Holes are given as zeros."""

    def put_open_file(self, fd: int, size: int, executable: bool) -> StoredFile:
        """Store the content of an open regular file, read from offset 0 to its end; faster than put_file."""

    def put_directory(self, own: Entry, children: Iterable[Child], links: Links = ()) -> DirectoryRef:
        """Store a directory whose sub-directories are stored already. `links` only for the root."""


class DiskIds(NamedTuple):
    """Which id on disk stands for an id inside the environment.

    `shift` is added to inside ids (root with a reserved range works from outside the user namespace: shift =
    start of the range; inside the tree namespace, rootless: 0). `single`: there is one id only, 0; other owners are
    kept as metadata. `ids`: how many are mapped.
    """

    shift: int = 0
    single: bool = False
    ids: int = 65536

    def to_disk(self, inside: int) -> int:
        """Return the id to chown to. An id outside the range falls back to root's (kept in metadata only)."""
        if self.single or inside >= self.ids:
            return self.shift
        return inside + self.shift

    def from_disk(self, on_disk: int, recorded: int | None = None) -> int:
        """Return the inside id of `on_disk`; `recorded` (the base's id) wins when it would be stored as `on_disk`."""
        if recorded is not None and self.to_disk(recorded) == on_disk:
            return recorded
        inside = on_disk - self.shift
        return inside if 0 <= inside < self.ids else 65534


class IdMapExtent(NamedTuple):
    """One line of /proc/PID/uid_map: `size` ids from `inside` on are `outside` on in the parent namespace."""

    inside: int
    outside: int
    size: int


class IdMap(NamedTuple):
    """How ids of a sandbox map to ids of this process's user namespace.

    `kind`: "range" (root: a reserved range, written directly), "subordinate" (newuidmap/newgidmap), "single" (only the
    caller's own id), "nested" (already inside the tree namespace: identity).
    """

    kind: Literal["range", "subordinate", "single", "nested"]
    uids: tuple[IdMapExtent, ...]
    gids: tuple[IdMapExtent, ...]


class EnvironmentConfig(NamedTuple):
    """The fields of an OCI image configuration that a run needs (docs/format.md section 2)."""

    env: tuple[tuple[str, str], ...] = ()
    cmd: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    extra: Mapping[str, object] = MappingProxyType({})
    """Every other field, kept as it was."""


ChangeKind: TypeAlias = Literal["A", "D", "M", "T", "P"]
"""Added, deleted, content modified, type changed, only properties changed (mode, owner, xattrs, hard links, mtime when asked)."""


class Change(NamedTuple):
    """One path that differs between two trees. `path` has no leading slash; b"" is the root directory itself."""

    path: bytes
    kind: ChangeKind
    old: Child | None
    new: Child | None
    """For directories the Child's entry is the directory's `own` entry (full attributes) under its real name."""
    old_links: tuple[bytes, ...] = ()
    new_links: tuple[bytes, ...] = ()
    """The other names of the inode, of those that both trees have; given only where they are not the same."""

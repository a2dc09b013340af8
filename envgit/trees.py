"""Environment trees in the git store: directories, metadata blobs, chunked files (docs/format.md sections 2 to 6).

The seam between `layers` (filesystem trees, no git) and `store` (git objects, no filesystem): implements
the TreeReader and TreeWriter of `model` on an ObjectStore and a PackSession.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import chain
from typing import NamedTuple, Protocol

from envgit.errors import CorruptObject
from envgit.layers.metadata import format_directory, format_links, parse_directory, parse_links
from envgit.layers.sparse import iter_file
from envgit.model import CHUNKED_ABOVE_BYTES, Child, Directory, DirectoryRef, Entry, Links, StoredFile
from envgit.store.chunks import put_chunk_tree
from envgit.store.entry_name import LINKS_NAME, METADATA_NAME, decode_entry_name, encode_entry_name
from envgit.store.objects import decode_tree, encode_tree, hash_object

MODE_TREE = 0o040000
MODE_FILE = 0o100644
MODE_EXECUTABLE = 0o100755
MODE_SYMLINK = 0o120000

_CACHED_ENTRIES = 50_000
"""About 30 MB. A usual environment is parsed once, though it is walked several times."""


class GitContent(NamedTuple):
    """Where the bytes of a regular file are: a blob, or with MODE_TREE a chunk tree."""

    mode: int
    oid: bytes


class _Objects(Protocol):
    def read(self, oid: bytes) -> tuple[str, bytes]: ...


class Session(Protocol):
    """What a PackTreeWriter writes into: a PackSession, or one that only hashes."""

    def put(self, type: str, data: bytes) -> bytes: ...


class GitTreeReader:
    """A TreeReader over git objects; every SHA-256 is verified before its content is handed out."""

    def __init__(self, objects: _Objects) -> None:
        self._objects = objects
        self._cache: dict[bytes, Directory] = {}
        self._cached_entries = 0

    def _read(self, oid: bytes, expected: str, what: str) -> bytes:
        type, data = self._objects.read(oid)
        if type != expected:
            raise CorruptObject(f"{what} {oid.hex()} is a {type}, not a {expected}")
        return data

    def read_directory(self, ref: DirectoryRef) -> Directory:
        """Read and check one directory: hash, grammar, and that metadata and git tree name the same entries."""
        oid = ref.content
        assert isinstance(oid, bytes)
        cached = self._cache.get(oid + ref.sha256)
        if cached is not None:
            return cached
        stored = {
            name: GitContent(mode, entry) for mode, name, entry in decode_tree(self._read(oid, "tree", "directory"))
        }
        where = f"directory {oid.hex()}"
        metadata = stored.pop(METADATA_NAME, None)
        if metadata is None:
            raise CorruptObject(f"{where} has no {METADATA_NAME.decode()}: it was not written by envgit")
        data = self._read(metadata.oid, "blob", "metadata")
        if sha256(data).digest() != ref.sha256:
            raise CorruptObject(f"the metadata of {where} does not have the SHA-256 its parent recorded")
        own, entries, links_sha256 = parse_directory(data)
        if links_sha256 is not None and LINKS_NAME not in stored:
            raise CorruptObject(f"{where} lacks its {LINKS_NAME.decode()}")
        if links_sha256 is not None:
            del stored[LINKS_NAME]
        children = {
            entry.name: _join(entry, stored.pop(encode_entry_name(entry.name), None), where) for entry in entries
        }
        for name in stored:
            decode_entry_name(name)
            raise CorruptObject(f"{where}: {name!r} is in the git tree but not in the metadata")
        directory = Directory(own, children, links_sha256)
        self._cached_entries += 1 + len(children)
        if self._cached_entries > _CACHED_ENTRIES:
            self._cache.clear()
            self._cached_entries = 1 + len(children)
        self._cache[oid + ref.sha256] = directory
        return directory

    def read_links(self, root: DirectoryRef) -> Links:
        """Return the hard-link sets of an environment."""
        directory = self.read_directory(root)
        if directory.links_sha256 is None:
            return ()
        assert isinstance(root.content, bytes)
        for _, name, oid in decode_tree(self._read(root.content, "tree", "directory")):
            if name == LINKS_NAME:
                data = self._read(oid, "blob", "hard-link table")
                if sha256(data).digest() != directory.links_sha256:
                    raise CorruptObject(f"hard-link table {oid.hex()} does not have the SHA-256 the root recorded")
                return parse_links(data)
        raise CorruptObject("the root directory lacks its hard-link table")

    def iter_content(self, child: Child) -> Iterator[bytes]:
        """Yield a file's bytes; raises CorruptObject instead of ending when they are not what was recorded."""
        content, entry = child.content, child.entry
        assert isinstance(content, GitContent)
        digest, size = sha256(), 0
        pieces = self._iter_chunks(content.oid) if content.mode == MODE_TREE else iter([self._blob(content.oid)])
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            if size <= entry.size:
                yield piece
        if size != entry.size or digest.digest() != entry.sha256:
            raise CorruptObject(
                f"the content of {entry.name!r} ({content.oid.hex()}) is not what its metadata recorded"
            )

    def check_content(self, child: Child) -> int:
        """Read a file as iter_content does, and check that it is cut into chunks as the format says; return its size."""
        content, size = child.content, 0
        assert isinstance(content, GitContent)

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in self.iter_content(child):
                size += len(piece)
                yield piece

        if content.mode != MODE_TREE:
            for _ in counted():
                pass
            return size
        again = put_chunk_tree(
            counted(), lambda data: hash_object("blob", data), lambda entries: hash_object("tree", encode_tree(entries))
        )
        if again != content.oid:
            raise CorruptObject(f"chunk tree {content.oid.hex()} of {child.entry.name!r} is cut in other places")
        return size

    def _blob(self, oid: bytes) -> bytes:
        return self._read(oid, "blob", "content")

    def _iter_chunks(self, oid: bytes) -> Iterator[bytes]:
        last, data = b"", b""
        for number, (*key, group) in enumerate(decode_tree(self._read(oid, "tree", "chunk tree"))):
            if key != [MODE_TREE, b"%06x" % number]:
                raise CorruptObject(f"group {number} of chunk tree {oid.hex()} has another name or mode")
            for index, (*key, chunk) in enumerate(decode_tree(self._read(group, "tree", "chunk group"))):
                if key != [MODE_FILE, b"%04x" % index]:
                    raise CorruptObject(f"chunk {index} of group {group.hex()} has another name or mode")
                if chunk != last:  # a hole is one chunk many times over
                    last, data = chunk, self._blob(chunk)
                yield data


def _join(entry: Entry, stored: GitContent | None, where: str) -> Child:
    """Pair a metadata line with its git entry; the entry's mode must be the only one the format allows."""
    match entry.type:
        case "f":
            chunked = entry.size > CHUNKED_ABOVE_BYTES
            expected = MODE_TREE if chunked else MODE_EXECUTABLE if entry.mode & 0o111 else MODE_FILE
            child = Child(entry, stored)
        case "d":
            expected = MODE_TREE
            child = Child(entry, DirectoryRef(stored.oid if stored else b"", entry.sha256 or b""))
        case "l":
            expected = MODE_SYMLINK
            child = Child(entry, None)
            if stored is not None and stored.oid != hash_object("blob", entry.target):
                raise CorruptObject(f"{where}: the target of {entry.name!r} differs between git tree and metadata")
        case _:
            if stored is not None:
                raise CorruptObject(f"{where}: {entry.name!r} is a device or FIFO but has a git entry")
            return Child(entry, None)
    if stored is None or stored.mode != expected:
        raise CorruptObject(f"{where}: {entry.name!r} has no git entry of mode {expected:o}")
    return child


class PackTreeWriter:
    """A TreeWriter into one pack session; nothing is durable before the session is finished."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def _put_blob(self, data: bytes) -> bytes:
        return self._session.put("blob", data)

    def _put_tree(self, entries: list[tuple[int, bytes, bytes]]) -> bytes:
        return self._session.put("tree", encode_tree(entries))

    def put_file(self, pieces: Iterable[bytes], executable: bool) -> StoredFile:
        """Store content given in pieces; memory stays below 2 * CHUNKED_ABOVE_BYTES whatever its size."""
        source = iter(pieces)
        head: list[bytes] = []
        size = 0
        for piece in source:
            head.append(piece)
            size += len(piece)
            if size > CHUNKED_ABOVE_BYTES:
                return self._put_chunked(chain(head, source))
        return self._put_whole(head[0] if len(head) == 1 else b"".join(head), executable)

    def put_open_file(self, fd: int, size: int, executable: bool) -> StoredFile:
        """Store an open file from its start to its end, which may have moved since `size` was read."""
        if size > CHUNKED_ABOVE_BYTES:
            return self.put_file(iter_file(fd), executable)
        data = os.pread(fd, size + 1, 0)
        if len(data) == size:
            return self._put_whole(data, executable)
        return self.put_file(iter_file(fd), executable)

    def _put_whole(self, data: bytes, executable: bool) -> StoredFile:
        mode = MODE_EXECUTABLE if executable else MODE_FILE
        return StoredFile(GitContent(mode, self._put_blob(data)), sha256(data).digest(), len(data))

    def _put_chunked(self, pieces: Iterator[bytes]) -> StoredFile:
        digest, size = sha256(), 0

        def watched() -> Iterator[bytes]:
            nonlocal size
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                yield piece

        oid = put_chunk_tree(watched(), self._put_blob, self._put_tree)
        return StoredFile(GitContent(MODE_TREE, oid), digest.digest(), size)

    def put_directory(self, own: Entry, children: Iterable[Child], links: Links = ()) -> DirectoryRef:
        """Store one directory; its sub-directories' refs must be PackTreeWriter's or GitTreeReader's own."""
        entries: list[Entry] = []
        tree: list[tuple[int, bytes, bytes]] = []
        for entry, content in children:
            if isinstance(content, DirectoryRef):
                assert isinstance(content.content, bytes)
                tree.append((MODE_TREE, encode_entry_name(entry.name), content.content))
                entry = Entry(entry.name, "d", sha256=content.sha256)
            elif isinstance(content, GitContent):
                tree.append((_file_mode(entry, content), encode_entry_name(entry.name), content.oid))
            elif entry.type == "l":
                tree.append((MODE_SYMLINK, encode_entry_name(entry.name), self._put_blob(entry.target)))
            entries.append(entry)
        entries.sort()
        links_sha256 = None
        if links:
            data = format_links(links)
            links_sha256 = sha256(data).digest()
            tree.append((MODE_FILE, LINKS_NAME, self._put_blob(data)))
        metadata = format_directory(own, entries, links_sha256)
        tree.append((MODE_FILE, METADATA_NAME, self._put_blob(metadata)))
        return DirectoryRef(self._put_tree(tree), sha256(metadata).digest())


def _file_mode(entry: Entry, content: GitContent) -> int:
    """The git mode follows the recorded mode, also where only the mode changed and the content was kept."""
    if content.mode == MODE_TREE:
        return MODE_TREE
    return MODE_EXECUTABLE if entry.mode & 0o111 else MODE_FILE

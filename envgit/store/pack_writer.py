"""Write one pack and its index, sequentially (gitformat-pack(5), pack version 2, idx version 2).

A session hashes, deflates and appends; nothing is visible to readers before `finish()`, which makes
everything durable in this order: pack synced, index synced, pack renamed into place, index renamed, folder synced.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from hashlib import sha1
from struct import Struct
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from envgit.store import storage
from envgit.store.deflate import compress, crc32
from envgit.store.pack_index import format_index

if TYPE_CHECKING:
    from envgit.store.deflater import Deflater

TEMPORARY_PACK = "tmp_pack_"
TEMPORARY_INDEX = "tmp_idx_"
OBJECT_TYPES = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}

RECORD = Struct(">20sIQ")
"""One object of a pack in memory: oid, CRC-32 of its entry, offset. Sorts by oid as bytes."""

_BUFFER_BYTES = 1024 * 1024
_HEADER_BYTES = 12
_READ_BYTES = 1024 * 1024
_THREAD_ABOVE_BYTES = 4 * 1024 * 1024
"""What a session stores before it starts a thread: small commits stay in one."""


class PackResult(NamedTuple):
    """A finished pack: `name` is `pack-<40 hex>`, or empty when nothing was written; `bytes` of the pack file."""

    name: str
    object_count: int
    bytes: int


def entry_header(type_number: int, size: int) -> bytes:
    """Return the type-and-size bytes in front of a pack entry."""
    byte = type_number << 4 | size & 15
    size >>= 4
    if not size:
        return bytes((byte,))
    header = bytearray()
    while size:
        header.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    header.append(byte)
    return bytes(header)


class PackFileWriter:
    """A pack being written: entries go in compressed, records of them are kept (32 bytes an object)."""

    def __init__(self, objects_dir: str) -> None:
        self._folder = objects_dir + "/pack"
        self.records = bytearray()
        self._path = ""
        self._fd = -1
        self._buffer: list[bytes | memoryview] = []
        self._buffered = 0
        self.offset = _HEADER_BYTES

    def _open(self) -> None:
        """Create the temporary file. Its flock tells a later writer that its owner still lives."""
        while True:
            self._path = storage.temporary_name(self._folder, TEMPORARY_PACK)
            self._fd = storage.open_new(self._path, step="pack-create", mode=0o444)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            if os.fstat(self._fd).st_nlink:
                break
            os.close(self._fd)
        storage.write_all(self._fd, b"PACK\0\0\0\2\0\0\0\0", step="pack-header", path=self._path)

    def add(self, oid: bytes, header: bytes, stream: bytes) -> None:
        """Append one entry: its header and its deflated stream."""
        self.records += RECORD.pack(oid, crc32(stream, crc32(header)), self.offset)
        self.append(header)
        self.append(stream)

    def append(self, data: bytes | memoryview) -> None:
        """Append raw bytes of entries whose records the caller adds itself."""
        self._buffer.append(data)
        size = len(data)
        self._buffered += size
        self.offset += size
        if self._buffered >= _BUFFER_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._fd < 0:
            self._open()
        data = self._buffer[0] if len(self._buffer) == 1 else b"".join(self._buffer)
        self._buffer.clear()
        self._buffered = 0
        storage.write_all(self._fd, data, step="pack-write", path=self._path)

    def finish(self) -> PackResult:
        """Complete the pack and make it durable and visible; an empty one leaves no file."""
        count = len(self.records) // RECORD.size
        if not count:
            self.abort()
            return PackResult("", 0, 0)
        self._flush()
        storage.write_all(self._fd, count.to_bytes(4, "big"), step="pack-count", path=self._path, offset=8)
        digest = self._hash()
        storage.write_all(self._fd, digest, step="pack-trailer", path=self._path)
        storage.sync_fd(self._fd, step="pack-sync", path=self._path)
        size = RECORD.size
        records = self.records
        self.records = bytearray()
        ordered = b"".join(sorted([bytes(records[i : i + size]) for i in range(0, len(records), size)]))
        del records
        index = format_index(ordered, digest)
        name = "pack-" + digest.hex()
        temporary = storage.temporary_name(self._folder, TEMPORARY_INDEX)
        fd = storage.open_new(temporary, step="index-create", mode=0o444)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            storage.write_all(fd, index, step="index-write", path=temporary)
            storage.sync_fd(fd, step="index-sync", path=temporary)
            storage.rename(self._path, f"{self._folder}/{name}.pack", step="pack-rename")
            self._path = ""
            storage.rename(temporary, f"{self._folder}/{name}.idx", step="index-rename")
        except BaseException:
            storage.discard(temporary)
            raise
        finally:
            os.close(fd)
        storage.sync_directory(self._folder, step="pack-folder-sync")
        os.close(self._fd)
        self._fd = -1
        return PackResult(name, count, self.offset + len(digest))

    def _hash(self) -> bytes:
        """The trailer covers the header, whose count is known last: hash what was written (2 GB/s, cached pages)."""
        digest = sha1(usedforsecurity=False)
        position = 0
        while position < self.offset:
            try:
                piece = os.pread(self._fd, _READ_BYTES, position)
            except OSError as error:
                storage.fail("read back", self._path, error)
            if not piece:
                storage.fail("read back", self._path, OSError(5, "the file is shorter than what was written"))
            digest.update(piece)
            position += len(piece)
        return digest.digest()

    def abort(self) -> None:
        """Drop everything; safe to call twice and after an error."""
        self._buffer.clear()
        self.records = bytearray()
        if self._fd >= 0:
            if self._path:
                storage.discard(self._path)
            os.close(self._fd)
            self._fd = -1


class PackSession:
    """Stores objects into one new pack. Not for use by two threads at once; a big session has one of its own."""

    def __init__(self, objects_dir: str, contains: Callable[[bytes], bool]) -> None:
        """`contains(oid)` says whether the store has an object already; such objects are not written again."""
        self._contains = contains
        self._writer = PackFileWriter(objects_dir)
        self._seen: set[bytes] = set()
        self._put_bytes = 0
        self._deflater: Deflater | None = None
        self._result: PackResult | None = None

    def put(self, type: str, data: bytes) -> bytes:
        """Store one object and return its id (20 bytes). Raises StorageError, perhaps of an object put before."""
        size = len(data)
        digest = sha1(b"%b %d\0" % (type.encode(), size), usedforsecurity=False)
        digest.update(data)
        oid = digest.digest()
        seen = self._seen
        if oid in seen or self._contains(oid):
            return oid
        header = entry_header(OBJECT_TYPES[type], size)
        if self._deflater is not None:
            self._deflater.add(oid, header, data)
        else:
            self._writer.add(oid, header, compress(data))
            self._put_bytes += size
            if self._put_bytes > _THREAD_ABOVE_BYTES:
                self._deflater = start_deflater(self._writer)
        seen.add(oid)
        return oid

    def has(self, oid: bytes) -> bool:
        """Whether this session holds the object (not yet readable)."""
        return oid in self._seen

    def finish(self) -> PackResult:
        """Make everything durable and visible. On an error nothing of the session is visible; it is aborted."""
        if self._result is None:
            self._seen = set()
            try:
                if self._deflater is not None:
                    self._deflater.finish()
                self._result = self._writer.finish()
            except BaseException:
                self.abort()
                raise
        return self._result

    def abort(self) -> None:
        """Drop everything that was put and not finished."""
        self._seen = set()
        if self._deflater is not None:
            self._deflater.stop()
        self._writer.abort()

    def __enter__(self) -> PackSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._result is None:
            self.abort()


def start_deflater(writer: PackFileWriter) -> Deflater:
    """Return a running Deflater; loaded here, because small commits do without threads."""
    from envgit.store.deflater import Deflater

    return Deflater(writer)


def remove_leftovers(objects_dir: str) -> int:
    """Remove temporary packs and indexes of killed writers; those of living ones hold a flock. Returns how many."""
    folder = objects_dir + "/pack"
    removed = 0
    for name in os.listdir(folder):
        if name.startswith((TEMPORARY_PACK, TEMPORARY_INDEX)) and _is_abandoned(f"{folder}/{name}"):
            removed += storage.unlink(f"{folder}/{name}", step="leftover-unlink")
    return removed


def _is_abandoned(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True

"""A layer as a file: made once, compressed and hashed by other threads than the one that reads the tree."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from queue import SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import BinaryIO, Final, Generic, NamedTuple, TypeVar

from envgit.publishing.compression import LayerCompression, open_compressor
from envgit.store.storage import fail

_PIECE_BYTES: Final = 1024 * 1024
_QUEUED_PIECES: Final = 8
_Result = TypeVar("_Result")
WriteTo = Callable[[Callable[[bytes], object]], _Result]


class BlobId(NamedTuple):
    """A compressed layer: what registries call it, and what it is when it is unpacked."""

    diff_id: str
    digest: str
    size: int


class BlobFile:
    """A file without a name, which is gone when nobody has it open any more, whatever happens to the process."""

    def __init__(self, folder: str) -> None:
        self._path = folder
        try:
            try:
                self._file = os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), "w+b", 0)
            except OSError:  # a filesystem that has no such files
                self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        except OSError as error:
            fail("make a temporary file in", folder, error)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            fail("write a layer in", self._path, error)

    def open(self) -> BinaryIO:
        """Open it anew, at its start; every opening has a position of its own."""
        return open(f"/proc/self/fd/{self._file.fileno()}", "rb")

    def link(self, path: str) -> bool:
        """Give it a name on its filesystem; False where that cannot be. Raises FileExistsError."""
        try:
            os.fchmod(self._file.fileno(), 0o644)
            os.fsync(self._file.fileno())
            os.link(f"/proc/self/fd/{self._file.fileno()}", path, follow_symlinks=True)
        except FileExistsError:
            raise
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._file.close()


class Blob(NamedTuple, Generic[_Result]):
    """A layer that was made. `file` holds its bytes; close it. `result`: what the writer of the archive returned."""

    id: BlobId
    file: BlobFile
    result: _Result


def make_blob(write_to: WriteTo[_Result], compression: LayerCompression, folder: str) -> Blob[_Result]:
    """Compress what `write_to` writes into an unnamed file in `folder`, while it is written.

    Two more threads work: one hashes the archive, one compresses it, and hashes and writes what comes out. Raises what
    `write_to` raises, and StorageError.
    """
    file = BlobFile(folder)
    archive, compressed = sha256(), sha256()
    compressor = open_compressor(compression)
    size = 0

    def store(piece: bytes) -> None:
        nonlocal size
        if made := compressor.compress(piece):
            compressed.update(made)
            file.write(made)
            size += len(made)

    hashing, storing = _Worker(archive.update), _Worker(store)
    try:
        gatherer = _Gatherer((hashing.put, storing.put))
        result = write_to(gatherer.write)
        gatherer.flush()
        hashing.finish()
        storing.finish()
        tail = compressor.flush()
        compressed.update(tail)
        file.write(tail)
    except BaseException:
        with suppress(Exception):
            hashing.finish()
        with suppress(Exception):
            storing.finish()
        file.close()
        raise
    ids = BlobId(f"sha256:{archive.hexdigest()}", f"sha256:{compressed.hexdigest()}", size + len(tail))
    return Blob(ids, file, result)


class _Gatherer:
    """Makes large pieces of small ones: headers are 512 bytes."""

    def __init__(self, takers: tuple[Callable[[bytes], None], ...]) -> None:
        self._takers = takers
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= _PIECE_BYTES:
            self.flush()

    def flush(self) -> None:
        if self._size:
            piece = b"".join(self._pieces)
            for take in self._takers:
                take(piece)
        self._pieces.clear()
        self._size = 0


class _Worker:
    """Calls a function with every piece, in order, in a thread of its own. `put` and `finish` raise what it raised."""

    def __init__(self, work: Callable[[bytes], object]) -> None:
        self._work = work
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._places = BoundedSemaphore(_QUEUED_PIECES)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, piece: bytes) -> None:
        self._places.acquire()
        if self._error is not None:
            raise self._error
        self._queue.put(piece)

    def finish(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._work(piece)
                except BaseException as error:
                    self._error = error
            self._places.release()

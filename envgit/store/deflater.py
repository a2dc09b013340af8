"""A thread that deflates and writes what a big pack session puts, while the session reads and hashes the next objects.

hashlib and isal work without the interpreter's lock, so two cores are used. Objects reach the pack in the order in which they
were put; ids are computed by the session, so nothing depends on the timing.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Protocol

from envgit.store.deflate import compress

_BATCH_BYTES = 512 * 1024
_BATCH_OBJECTS = 256
_PENDING_BATCHES = 4
"""Bounds memory: a batch has half a mebibyte, or is one file of up to 8 MiB."""

Job = tuple[bytes, bytes, bytes]
"""(oid, entry header, data)."""


class _Writer(Protocol):
    def add(self, oid: bytes, header: bytes, stream: bytes) -> None: ...


class Deflater:
    """Feeds a pack writer from a thread of its own, which ends with finish() or stop()."""

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer
        self._batch: list[Job] = []
        self._batch_bytes = 0
        self._queue: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._free = threading.BoundedSemaphore(_PENDING_BATCHES)
        self._error: BaseException | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="deflater", daemon=True)
        self._thread.start()

    def add(self, oid: bytes, header: bytes, data: bytes) -> None:
        """Hand over one object; waits while too much is pending. Raises what the writer raised before."""
        if self._error is not None:
            raise self._error
        self._batch.append((oid, header, data))
        self._batch_bytes += len(data)
        if self._batch_bytes >= _BATCH_BYTES or len(self._batch) >= _BATCH_OBJECTS:
            self._submit()

    def finish(self) -> None:
        """Wait until everything is written. Raises what the writer raised."""
        self._submit()
        self._end()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the thread without writing what is pending; safe to call twice."""
        self._stopped = True
        self._end()

    def _submit(self) -> None:
        self._free.acquire()
        self._queue.put(self._batch)
        self._batch, self._batch_bytes = [], 0

    def _end(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (batch := self._queue.get()) is not None:
            try:
                for oid, header, data in batch:
                    if self._stopped or self._error is not None:
                        break
                    self._writer.add(oid, header, compress(data))
            except BaseException as error:
                self._error = error
            finally:
                self._free.release()

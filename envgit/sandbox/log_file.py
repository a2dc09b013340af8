"""Writing a sandbox's log: `log`, with `log.1`, `log.2`, ... older, bounded in size and number.

Written by the monitor alone, one write(2) for what one read of the program's output gave, never synced. A write waits as long
as the file system does: the program's own files lie on the same one. A write that fails (full, read-only, over quota)
never stops the program: what could not be written is dropped whole, counted, and the count is the log's next line.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress

from envgit.errors import StorageError
from envgit.sandbox.log_line import Stream, format_lines
from envgit.store import storage

SMALLEST_BYTES = 64 << 10
"""Less would rotate within the output of one read."""


class LogFile:
    """The open log of one sandbox. `most_bytes` of one file, `most_files` of them together with the one written."""

    def __init__(self, folder: str, most_bytes: int, most_files: int) -> None:
        self._path = f"{folder}/log"
        self._most_bytes = max(most_bytes, SMALLEST_BYTES)
        self._most_files = max(most_files, 1)
        self._fd = -1
        self._size = 0
        self._lost_bytes = 0
        self._why = ""

    def write(self, stream: Stream, data: bytes) -> None:
        """Log a piece of output. Never raises for what the disk does."""
        now = time.time_ns()
        lines = format_lines(now, stream, data)
        if self._lost_bytes:
            notice = f"envgit: {self._lost_bytes} bytes of output were not logged: {self._why}\n".encode()
            lines = format_lines(now, "stderr", notice) + lines
        try:
            self._append(lines)
            self._lost_bytes = 0
        except (OSError, StorageError) as error:
            reason = error.strerror if isinstance(error, OSError) else error.message
            self._why = reason or str(error)
            self._lost_bytes += len(data)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, lines: bytes) -> None:
        if self._fd < 0:
            self._open()
        if self._size and self._size + len(lines) > self._most_bytes:
            self._rotate()
        storage.reach("sandbox-log")
        written = os.write(self._fd, lines)
        if written != len(lines):  # no torn line: the part is taken back, all of it counts as lost
            storage.truncate(self._fd, self._size, step="sandbox-log-undo", path=self._path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size

    def _rotate(self) -> None:
        """Age every file by one; the oldest goes. Readers find their place again by the file's identity."""
        self.close()
        if self._most_files == 1:
            storage.unlink(self._path, step="sandbox-log-rotate")
        for number in range(self._most_files - 2, -1, -1):
            with suppress(StorageError):  # a missing one
                storage.rename(
                    numbered(self._path, number), numbered(self._path, number + 1), step="sandbox-log-rotate"
                )
        self._open()


def numbered(path: str, number: int) -> str:
    """Return the path of the log that is `number` files old."""
    return f"{path}.{number}" if number else path

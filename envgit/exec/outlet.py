"""Output to a descriptor that may be full for long, without ever waiting in it: signals are answered meanwhile.

The descriptor blocks and is shared with other processes, so O_NONBLOCK is not set on it. A pipe that is WRITABLE takes
PIPE_BUF bytes without blocking (pipe(7)); a terminal promises one byte, but can be opened again with a flag of its own.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from functools import partial

from envgit.exec.reactor import WRITABLE, Reactor

GIVE_UP_SECONDS = 1.0
"""When the caller was asked to end: how long nobody may read before the rest is dropped."""

_TERMINAL_PIECE_BYTES = 65536


class Outlet:
    """Writes to `fd` as it takes it. `on_room` is called when everything is written; put in no more until then."""

    def __init__(self, fd: int, reactor: Reactor, on_room: Callable[[], None]) -> None:
        self._given = fd
        self._fd = _open_again(fd) if os.isatty(fd) else fd
        self._piece_bytes = select.PIPE_BUF if self._fd == fd else _TERMINAL_PIECE_BYTES
        self._reactor = reactor
        self._on_room = on_room
        self._queue: deque[memoryview] = deque()
        self._hurried = False
        self._finished = False
        self.unsent_bytes = 0

    def put(self, data: bytes) -> None:
        """Write soon. Raises OSError, here or in the reactor, when nobody will ever read it."""
        if not data:
            return
        self._queue.append(memoryview(data))
        self.unsent_bytes += len(data)
        try:
            self._reactor.watch(self._fd, WRITABLE, self._ready)
        except PermissionError:  # a regular file or /dev/null: never full
            while self._queue:
                self._write()

    def hurry(self) -> None:
        """The caller was asked to end. Once finish() was called, what nobody reads for GIVE_UP_SECONDS is dropped.

        Forgotten when everything is written: then somebody reads.
        """
        self._hurried = bool(self._queue)
        if self._hurried and self._finished:
            self._look_later()

    def finish(self) -> None:
        """Nothing more comes; run the reactor until `unsent_bytes` is 0."""
        self._finished = True
        if self._hurried:
            self._look_later()

    def drop(self) -> None:
        """Forget what is not written."""
        self._queue.clear()
        self.unsent_bytes = 0
        self._hurried = False
        self._reactor.unwatch(self._fd)

    def close(self) -> None:
        """Let go of everything but the given descriptor."""
        self.drop()
        if self._fd != self._given:
            os.close(self._fd)
            self._fd = self._given

    def _ready(self, events: int) -> None:
        self._write()
        if not self._queue:
            self.drop()
            self._on_room()

    def _write(self) -> None:
        try:
            count = os.write(self._fd, self._queue[0][: self._piece_bytes])
        except BlockingIOError:
            return
        except OSError:
            self.drop()
            raise
        self.unsent_bytes -= count
        rest = self._queue[0][count:]
        if rest:
            self._queue[0] = rest
        else:
            self._queue.popleft()

    def _look_later(self) -> None:
        self._reactor.after(GIVE_UP_SECONDS, partial(self._look, self.unsent_bytes))

    def _look(self, before: int) -> None:
        if self.unsent_bytes == before:
            self.drop()
        elif self._hurried:
            self._look_later()


def _open_again(fd: int) -> int:
    """Return a second, non-blocking descriptor of a terminal; the same when it cannot be opened (it is another user's)."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return fd

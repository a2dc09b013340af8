"""One process watching many descriptors: what a monitor does while its sandboxes run. No threads, no asyncio."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT

Handler = Callable[[int], None]


class Reactor:
    """Calls handlers when descriptors become ready (level-triggered, epoll(7)) or moments come.

    A handler gets the events; it may watch and unwatch anything. What a handler raises ends run().
    """

    __slots__ = ("_epoll", "_handlers", "_timers")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` while any of `events` (READABLE, WRITABLE) holds for `fd`, or it hangs up; replaces an earlier watch.

        Raises PermissionError for a regular file, which is always ready and cannot be watched.
        """
        if fd in self._handlers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def unwatch(self, fd: int) -> None:
        """Stop watching; call it before the descriptor is closed. Nothing happens for one that is not watched, or after close()."""
        if self._handlers.pop(fd, None) is not None and not self._epoll.closed:
            self._epoll.unregister(fd)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, `seconds` from now."""
        self._timers.append((time.monotonic() + seconds, call))

    def run(self, until: Callable[[], bool]) -> None:
        """Handle events until `until()` is true, which is asked after each round."""
        while not until():
            for fd, events in self._epoll.poll(self._wait_seconds()):
                handler = self._handlers.get(fd)
                if handler is not None:  # another handler of this round may have dropped it
                    handler(events)
            self._call_timers()

    def close(self) -> None:
        self._epoll.close()

    def _wait_seconds(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, min(moment for moment, _ in self._timers) - time.monotonic())

    def _call_timers(self) -> None:
        now = time.monotonic()
        due = [timer for timer in self._timers if timer[0] <= now]
        if due:
            self._timers = [timer for timer in self._timers if timer[0] > now]
            for _, call in sorted(due, key=lambda timer: timer[0]):
                call()


def write_all(fd: int, data: bytes) -> None:
    """Write every byte, waiting where a pipe or terminal is full, also when it does not block."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            ready = select.poll()
            ready.register(fd, select.POLLOUT)
            ready.poll()

"""TCP: connections accepted on the host's sockets and joined, byte for byte, to connections inside.

Everything is edge-triggered: a socket is registered once, and what the kernel said about it is kept in two flags, so the work
per request is one receive and one send. One large buffer serves all connections. Measured on loopback: a receive and a
send of 1 MiB carry more than splice(2) through a pipe of 1 MiB does, so there are no pipes, and a connection
costs two descriptors, always.
"""

from __future__ import annotations

import errno
from _socket import (
    AF_INET,
    AF_INET6,
    MSG_PEEK,
    MSG_TRUNC,
    SHUT_WR,
    SO_LINGER,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from select import EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, epoll
from time import monotonic

from envgit.exec.ports.binding import prepare_stream
from envgit.exec.ports.publish import Bound

BUFFER_BYTES = 1 << 20
HELD_BYTES = 64 << 20
"""Most that is kept for targets that do not take it, over all connections; beyond, it stays with the kernel."""

_ROUNDS = 4
"""Buffers that one direction may move before the others have their turn."""

_ACCEPTS = 64
_RETRY_SECONDS = 0.2
_WATCHED = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
_RESET = bytes((1, 0, 0, 0, 0, 0, 0, 0))
"""struct linger { on, 0 s }: close(2) sends RST."""

_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Handlers = dict[int, Callable[[int, int], None]]


class Way:
    """One direction of a connection."""

    __slots__ = ("ended", "hung_up", "pending", "queued", "readable", "source", "target", "writable")

    def __init__(self, source: socket, target: socket) -> None:
        self.source = source
        self.target = target
        self.readable = False
        self.writable = False
        self.hung_up = False
        """The source will send no more: what is there is read to its end."""
        self.ended = False
        """The end was passed on."""
        self.queued = False
        self.pending: memoryview | None = None
        """What was received and not yet taken by the target."""


class Connection:
    """A client's socket, the one inside, and the two ways between."""

    __slots__ = ("backward", "connected", "forward", "inner", "open", "outer")

    def __init__(self, outer: socket, inner: socket) -> None:
        self.outer = outer
        self.inner = inner
        self.forward = Way(outer, inner)
        self.backward = Way(inner, outer)
        self.connected = False
        self.open = True


class TcpRelay:
    """Carries the connections of all published tcp ports. `capacity`: most at once; more wait in the kernel's queue."""

    def __init__(self, poller: epoll, handlers: Handlers, address: str, bounds: list[Bound], capacity: int) -> None:
        self._poller = poller
        self._handlers = handlers
        self._address = address
        self._family = AF_INET6 if ":" in address else AF_INET
        self._capacity = max(1, capacity)
        self._count = 0
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._held = 0
        self._queue: deque[tuple[Connection, Way]] = deque()
        self._waiting: list[tuple[socket, int]] = []
        self._spare: socket | None = None
        """Made before a client is accepted: one for whom there is no second descriptor stays in the queue."""
        self._paused_until = 0.0
        """0: accepting. Infinity: until a connection ends. Else a moment of the monotonic clock."""
        self._listeners = [
            (socket(AF_INET6 if ":" in bound.address else AF_INET, SOCK_STREAM, 0, bound.fd), bound.port)
            for bound in bounds
        ]
        for listener, port in self._listeners:
            listener.setblocking(False)
            handlers[listener.fileno()] = self._listener_handler(listener, port)
            poller.register(listener.fileno(), EPOLLIN)

    def wait_seconds(self) -> float | None:
        """Return how long the caller may wait for events; None: for ever."""
        if self._queue:
            return 0.0
        if 0 < self._paused_until < float("inf"):
            return max(0.0, self._paused_until - monotonic())
        return None

    def work(self) -> None:
        """Do what is left after the events of a round were handled.

        New sockets are made here and not while events are handled: a late event of a closed one would meet its number again.
        """
        for _ in range(len(self._queue)):
            connection, way = self._queue.popleft()
            way.queued = False
            if connection.open:
                self._pump(connection, way)
        if 0 < self._paused_until <= monotonic():
            self._accept_again()
        while self._waiting:
            listener, port = self._waiting.pop()
            self._accept(listener, port)

    def _listener_handler(self, listener: socket, port: int) -> Callable[[int, int], None]:
        def ready(fd: int, events: int) -> None:
            self._waiting.append((listener, port))

        return ready

    def _accept(self, listener: socket, port: int) -> None:
        for _ in range(_ACCEPTS):
            if self._count >= self._capacity:
                self._pause(float("inf"))
                return
            try:
                if self._spare is None:
                    self._spare = socket(self._family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
                fd, _address = listener._accept()  # type: ignore[attr-defined]  # what socket.accept is made of
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._pause(monotonic() + _RETRY_SECONDS)
                    return
                if error.errno == errno.EAGAIN:
                    return
                continue  # accept(2): errors of a connection that broke while it was queued
            inner, self._spare = self._spare, None
            self._connect(socket(listener.family, SOCK_STREAM, 0, fd), inner, port)

    def _connect(self, outer: socket, inner: socket, port: int) -> None:
        """Begin the connection inside; a failure resets the client, now or when it is known."""
        connection = Connection(outer, inner)
        self._count += 1
        try:
            outer.setblocking(False)
            prepare_stream(inner)
            if inner.connect_ex((self._address, port)) not in (0, errno.EINPROGRESS):
                raise ConnectionError
            self._watch(outer, self._outer_handler(connection))
            self._watch(inner, self._inner_handler(connection))
        except OSError:
            self._abort(connection)

    def _watch(self, stream: socket, handler: Callable[[int, int], None]) -> None:
        self._poller.register(stream.fileno(), _WATCHED)
        self._handlers[stream.fileno()] = handler

    def _outer_handler(self, connection: Connection) -> Callable[[int, int], None]:
        def ready(fd: int, events: int) -> None:
            self._note(connection, connection.forward, connection.backward, events)

        return ready

    def _inner_handler(self, connection: Connection) -> Callable[[int, int], None]:
        def ready(fd: int, events: int) -> None:
            if events & (EPOLLOUT | EPOLLERR):
                connection.connected = True
            self._note(connection, connection.backward, connection.forward, events)

        return ready

    def _note(self, connection: Connection, reading: Way, writing: Way, events: int) -> None:
        """Take over what the kernel says about the source of `reading`, which is the target of `writing`."""
        if events & EPOLLERR:
            self._abort(connection)
            return
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP):
            reading.readable = True
            reading.hung_up = reading.hung_up or bool(events & (EPOLLRDHUP | EPOLLHUP))
        if events & (EPOLLOUT | EPOLLHUP):
            writing.writable = True
        if connection.connected:
            if reading.readable and reading.writable:
                self._pump(connection, reading)
            if connection.open and writing.writable and (writing.readable or writing.pending is not None):
                self._pump(connection, writing)

    def _pump(self, connection: Connection, way: Way) -> None:
        """Move bytes until the source has none, the target takes none, or it is the others' turn."""
        try:
            for _ in range(_ROUNDS):
                if way.pending is not None and not self._flush(way):
                    return
                if not way.readable or way.ended:
                    return
                if not self._move(way):
                    way.ended = True
                    way.target.shutdown(SHUT_WR)
                    if connection.forward.ended and connection.backward.ended:
                        self._close(connection)
                    return
        except BlockingIOError:
            return
        except OSError:
            self._abort(connection)
            return
        if not way.queued:
            way.queued = True
            self._queue.append((connection, way))

    def _move(self, way: Way) -> bool:
        """Receive once and send it; return False at the end of the stream. Raises BlockingIOError when there is nothing."""
        keep = self._held < HELD_BYTES
        try:
            received = way.source.recv_into(self._buffer, BUFFER_BYTES, 0 if keep else MSG_PEEK)
        except BlockingIOError:
            way.readable = False
            raise
        if received == 0:
            return False
        try:
            sent = way.target.send(self._view[:received])
        except BlockingIOError:
            way.writable = False
            sent = 0
        if not keep:
            if sent:
                way.source.recv_into(self._buffer, sent, MSG_TRUNC)
            elif not way.writable:
                raise BlockingIOError
            return True
        if sent < received:
            way.pending = memoryview(bytes(self._view[sent:received]))
            self._held += received - sent
        if received < BUFFER_BYTES and not way.hung_up:
            way.readable = False  # a stream that gave less than it could has no more; epoll(7)
        return True

    def _flush(self, way: Way) -> bool:
        """Send what is held; return whether all of it went."""
        assert way.pending is not None
        if not way.writable:
            return False
        try:
            sent = way.target.send(way.pending)
        except BlockingIOError:
            way.writable = False
            return False
        self._held -= sent
        rest = way.pending[sent:]
        way.pending = rest if rest else None
        return way.pending is None or self._flush(way)

    def _abort(self, connection: Connection) -> None:
        """Reset both ends: the failure of one is the failure of the other."""
        for stream in (connection.outer, connection.inner):
            _reset_when_closed(stream)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        if not connection.open:
            return
        connection.open = False
        for way in (connection.forward, connection.backward):
            if way.pending is not None:
                self._held -= len(way.pending)
                way.pending = None
        for stream in (connection.outer, connection.inner):
            self._handlers.pop(stream.fileno(), None)
            stream.close()
        self._count -= 1
        if self._paused_until:
            self._accept_again()

    def _pause(self, until: float) -> None:
        """Stop listening to the listeners: their queues stay, and so does the silence."""
        if not self._paused_until:
            for listener, _ in self._listeners:
                self._poller.modify(listener.fileno(), 0)
        self._paused_until = until
        self._waiting.clear()

    def _accept_again(self) -> None:
        self._paused_until = 0.0
        for listener, _ in self._listeners:
            self._poller.modify(listener.fileno(), EPOLLIN)


def _reset_when_closed(stream: socket) -> None:
    with suppress(OSError):
        stream.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)

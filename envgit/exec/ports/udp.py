"""UDP: a socket inside for each client of a published port, so that replies find their way back."""

from __future__ import annotations

from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPV6_PKTINFO,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    socket,
)
from collections import OrderedDict
from collections.abc import Callable
from select import EPOLLIN, epoll
from time import monotonic
from typing import NamedTuple

from envgit.exec.ports.binding import IP_PKTINFO
from envgit.exec.ports.publish import Bound
from envgit.exec.ports.tcp import Handlers

IDLE_SECONDS = 60.0
_DATAGRAM_BYTES = 65536
_CONTROL_BYTES = 64
_BATCH = 64
"""Datagrams of one socket that are carried before the others have their turn."""

Ancillary = list[tuple[int, int, bytes]]


class Route(NamedTuple):
    """Who sent a datagram, to which listener (its descriptor), and which of this machine's addresses it was sent to."""

    listener: int
    client: tuple[object, ...]
    local: bytes


class Client:
    """A sender seen lately. `reply`: control data that makes replies come from the address the client wrote to."""

    __slots__ = ("inner", "last", "listener", "reply", "route")

    def __init__(self, route: Route, listener: socket, inner: socket, reply: Ancillary) -> None:
        self.route = route
        self.listener = listener
        self.inner = inner
        self.reply = reply
        self.last = 0.0


class UdpRelay:
    """Carries the datagrams of all published udp ports. `capacity`: clients remembered; beyond, the longest silent is
    forgotten. A datagram that cannot be delivered at once is dropped, as networks do."""

    def __init__(self, poller: epoll, handlers: Handlers, address: str, bounds: list[Bound], capacity: int) -> None:
        self._poller = poller
        self._handlers = handlers
        self._address = address
        self._family = AF_INET6 if ":" in address else AF_INET
        self._capacity = max(1, capacity)
        self._clients: OrderedDict[Route, Client] = OrderedDict()
        """Longest silent first."""
        self._buffer = bytearray(_DATAGRAM_BYTES)
        self._view = memoryview(self._buffer)
        self._listeners = []
        for bound in bounds:
            listener = socket(AF_INET6 if ":" in bound.address else AF_INET, SOCK_DGRAM, 0, bound.fd)
            listener.setblocking(False)
            handlers[bound.fd] = self._listener_handler(listener, bound.port)
            poller.register(bound.fd, EPOLLIN)
            self._listeners.append(listener)

    def wait_seconds(self) -> float | None:
        """Return how long the caller may wait for events; None: for ever."""
        for client in self._clients.values():
            return max(0.0, client.last + IDLE_SECONDS - monotonic())
        return None

    def work(self) -> None:
        """Forget clients that were silent for IDLE_SECONDS."""
        if self._clients:
            limit = monotonic() - IDLE_SECONDS
            while self._clients and next(iter(self._clients.values())).last <= limit:
                self._forget_oldest()

    def _listener_handler(self, listener: socket, port: int) -> Callable[[int, int], None]:
        def ready(fd: int, events: int) -> None:
            now = monotonic()
            for _ in range(_BATCH):
                try:
                    size, control, _flags, sender = listener.recvmsg_into([self._buffer], _CONTROL_BYTES)
                except OSError:
                    return
                local, reply = _local_address(control)
                client = self._find(Route(fd, sender, local), listener, port, reply)
                if client is None:
                    continue
                client.last = now
                self._clients.move_to_end(client.route)
                _send(client.inner, self._view[:size])

        return ready

    def _find(self, route: Route, listener: socket, port: int, reply: Ancillary) -> Client | None:
        client = self._clients.get(route)
        if client is not None:
            return client
        if len(self._clients) >= self._capacity:
            self._forget_oldest()
        try:
            inner = socket(self._family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
        except OSError:
            return None
        try:
            inner.connect((self._address, port))
            self._poller.register(inner.fileno(), EPOLLIN)
        except OSError:
            inner.close()
            return None
        client = Client(route, listener, inner, reply)
        self._clients[route] = client
        self._handlers[inner.fileno()] = self._client_handler(client)
        return client

    def _client_handler(self, client: Client) -> Callable[[int, int], None]:
        def ready(fd: int, events: int) -> None:
            now = monotonic()
            for _ in range(_BATCH):
                try:
                    size = client.inner.recv_into(self._buffer, _DATAGRAM_BYTES)
                except ConnectionRefusedError:  # nothing listens inside: the kernel's answer to an earlier datagram
                    continue
                except OSError:
                    return
                client.last = now
                self._clients.move_to_end(client.route)
                try:
                    client.listener.sendmsg([self._view[:size]], client.reply, 0, client.route.client)
                except OSError:
                    continue

        return ready

    def _forget_oldest(self) -> None:
        _, client = self._clients.popitem(last=False)
        self._handlers.pop(client.inner.fileno(), None)
        client.inner.close()


def _send(inner: socket, data: memoryview) -> None:
    """Send one datagram; an error that an earlier one caused is reported once and must not cost this one."""
    for _ in range(2):
        try:
            inner.send(data)
            return
        except ConnectionRefusedError:
            continue
        except OSError:
            return


def _local_address(control: Ancillary) -> tuple[bytes, Ancillary]:
    """Return the address that a datagram was sent to, and the control data that sends the answer from there.

    Nothing for a listener at one address. struct in_pktinfo is { interface, source, destination }, in6_pktinfo
    { address, interface }; the interface is left to the routing table except for link-local addresses.
    """
    for level, kind, data in control:
        if level == IPPROTO_IP and kind == IP_PKTINFO:
            return data[4:8], [(level, kind, bytes(4) + data[4:8] + bytes(4))]
        if level == IPPROTO_IPV6 and kind == IPV6_PKTINFO:
            interface = data[16:20] if data[:2] == b"\xfe\x80" else bytes(4)
            return data[:16], [(level, kind, data[:16] + interface)]
    return b"", []

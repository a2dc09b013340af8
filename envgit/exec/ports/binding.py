"""The host's sockets: bound and listening before the sandbox starts, so that an occupied port fails the run at once."""

from __future__ import annotations

import errno
import os
from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_RECVPKTINFO,
    IPV6_V6ONLY,
    SO_KEEPALIVE,
    SO_REUSEADDR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    SOL_SOCKET,
    SOMAXCONN,
    TCP_KEEPCNT,
    TCP_KEEPIDLE,
    TCP_KEEPINTVL,
    TCP_NODELAY,
    socket,
)
from collections.abc import Iterable

from envgit.errors import SandboxError, UsageError
from envgit.exec.ports.publish import Bound, Publish, format_address

IP_PKTINFO = 8
"""Since Python 3.14 in the socket module; the kernel's number on every architecture."""

KEEPALIVE = ((TCP_KEEPIDLE, 60), (TCP_KEEPINTVL, 15), (TCP_KEEPCNT, 4))
"""Seconds of silence before a peer is asked for, seconds between questions, questions."""

_WILDCARDS = ("0.0.0.0", "::")
_FIRST_FREE_TO_ALL = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def bind(publishes: Iterable[Publish]) -> tuple[Bound, ...]:
    """Bind every wish, all or none, and listen on the tcp ones: connections queue in the kernel from now on.

    Free ports are chosen by the kernel; one port of the sandbox published over tcp and udp gets the same number for
    both if that is free. The caller owns the descriptors: `close` them. Raises SandboxError for a port that is occupied
    (naming who has it, where that can be known), not allowed, or at an address that this machine does not have, and
    UsageError when two wishes ask for the same host port.
    """
    wishes = tuple(publishes)
    _refuse_duplicates(wishes)
    chosen: dict[tuple[str, int], int] = {}
    bounds: list[Bound] = []
    try:
        for wish in wishes:
            bound = None
            if wish.first == 0 and (wish.address, wish.port) in chosen:
                same = chosen[wish.address, wish.port]
                bound = _bind_first(wish._replace(first=same, last=same), raise_occupied=False)
            bound = bound or _bind_first(wish)
            assert bound is not None
            if wish.first == 0:
                chosen.setdefault((wish.address, wish.port), bound.host_port)
            bounds.append(bound)
    except BaseException:
        close(bounds)
        raise
    return tuple(bounds)


def close(bounds: Iterable[Bound]) -> None:
    """Close the sockets; clients that wait in their queues are reset."""
    for bound in bounds:
        os.close(bound.fd)


def prepare_stream(stream: socket) -> None:
    """Make a tcp socket send at once and notice a vanished peer; accepted ones inherit it from their listener."""
    stream.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    stream.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        stream.setsockopt(IPPROTO_TCP, option, value)


def _refuse_duplicates(wishes: tuple[Publish, ...]) -> None:
    seen = set()
    for wish in wishes:
        if wish.first and wish.first == wish.last:
            key = (wish.address, wish.first, wish.protocol)
            if key in seen:
                raise UsageError(
                    f"{format_address(wish.address, wish.first)}/{wish.protocol} is published twice",
                    hint="give each its own host port, or leave the host port out for a free one",
                )
            seen.add(key)


def _bind_first(wish: Publish, *, raise_occupied: bool = True) -> Bound | None:
    """Bind the first port of the wish that is free."""
    for number in range(wish.first, wish.last + 1):
        try:
            return _bind_one(wish, number)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and (number < wish.last or not raise_occupied):
                continue
            raise _refused(wish, number, error) from error
    return None


def _bind_one(wish: Publish, number: int) -> Bound:
    family = AF_INET6 if ":" in wish.address else AF_INET
    stream = wish.protocol == "tcp"
    bound = socket(family, (SOCK_STREAM if stream else SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
    try:
        if family == AF_INET6:
            bound.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)  # [::] and 0.0.0.0 are two wishes
        if stream:
            bound.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)  # over connections of an earlier run that still time out
            prepare_stream(bound)
        elif wish.address in _WILDCARDS:  # the reply must come from the address that the client wrote to
            level, option = (IPPROTO_IPV6, IPV6_RECVPKTINFO) if family == AF_INET6 else (IPPROTO_IP, IP_PKTINFO)
            bound.setsockopt(level, option, 1)
        bound.bind((wish.address, number))
        if stream:
            bound.listen(SOMAXCONN)
        return Bound(wish.address, bound.getsockname()[1], wish.port, wish.protocol, bound.detach())
    finally:
        bound.close()


def _refused(wish: Publish, number: int, error: OSError) -> SandboxError:
    place = f"{format_address(wish.address, number)}/{wish.protocol}"
    other = f"choose another: -p {number + 1 if 0 < number < 65535 else 8080}:{wish.port}"
    if error.errno == errno.EADDRINUSE:
        if wish.first < wish.last:
            place = f"{format_address(wish.address, wish.first)}-{wish.last}/{wish.protocol}"
            return SandboxError(f"every host port of {place} is occupied", hint=f"a free one: -p {wish.port}")
        from envgit.exec.ports.holder import find_holder

        holder = find_holder(wish.protocol, wish.address, number)
        by = f" by {holder}" if holder else ""
        return SandboxError(f"host port {place} is occupied{by}", hint=f"{other}, or a free one: -p {wish.port}")
    if error.errno == errno.EACCES and 0 < number < 1024:
        return SandboxError(
            f"host port {place} is reserved for root",
            hint=f"use -p {number + 8000}:{wish.port}, or allow it to all: sysctl net.ipv4.ip_unprivileged_port_start={number}"
            + _shown_limit(),
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return SandboxError(f"no interface of this machine has the address {wish.address}", hint="see: ip address")
    if error.errno == errno.EAFNOSUPPORT:
        return SandboxError(f"this machine has no IPv6, so {place} cannot be published", hint="use 127.0.0.1")
    return SandboxError(f"cannot listen at host port {place}: {error.strerror}", hint=other)


def _shown_limit() -> str:
    try:
        with open(_FIRST_FREE_TO_ALL, "rb", buffering=0) as file:
            return f" (now {file.readall().strip().decode()})"
    except OSError:
        return ""

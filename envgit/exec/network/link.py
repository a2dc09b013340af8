"""Operations of the child in its own network namespace. They are data with the verbs of mount operations, and need no mounts.

The interface of a private network is a tap that nobody holds: whoever carries its packets attaches to it by name, later.
Until then it has no carrier, and packets wait in the kernel for the gateway's hardware address, which the monitor is
asked for through a netlink socket of this namespace.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from struct import pack, unpack_from

from envgit.errors import HostUnsupported
from envgit.exec.network import netlink
from envgit.exec.network.subnet import (
    ADDRESS_6,
    GATEWAY_6,
    INTERFACE,
    LINK_LOCAL_6,
    MTU_BYTES,
    PATIENCE_SECONDS,
    Subnet,
)

ROUTE_SOCKET = b"route"
TUN_DEVICE = b"/dev/net/tun"
_EVICT_6 = f"/proc/sys/net/ipv6/conf/{INTERFACE}/ndisc_evict_nocarrier"
_TUNSETIFF, _TUNSETPERSIST, _SIOCGIFINDEX = 0x400454CA, 0x400454CB, 0x8933
_IFF_TAP, _IFF_NO_PI = 0x2, 0x1000


class RaiseLoopback:
    """Bring the namespace's own loopback up."""

    __slots__ = ()

    def describe(self) -> str:
        return "loopback up"

    def open(self, place: object) -> None:
        pass

    def execute(self, place: object) -> None:
        route = netlink.open_route_socket()
        try:
            netlink.request(route, netlink.raise_link(netlink.LOOPBACK_INDEX))
        finally:
            os.close(route)


class MakeTap:
    """Make the interface of a private network, with address and default route, and hand a netlink socket to the monitor.

    `hand_over(ROUTE_SOCKET, fd)` sends the socket out; execute() closes its own copy.
    """

    __slots__ = ("_hand_over", "_tun", "subnet")

    def __init__(self, subnet: Subnet, hand_over: Callable[[bytes, int], None]) -> None:
        self.subnet = subnet
        self._hand_over = hand_over
        self._tun = -1

    @property
    def tun(self) -> int:
        """The descriptor that open() made, -1 before."""
        return self._tun

    def describe(self) -> str:
        return f"private network {self.subnet.address} on {INTERFACE}"

    def open(self, place: object) -> None:
        self._tun = open_tun()

    def execute(self, place: object) -> None:
        wanted = pack("=16sH22x", INTERFACE.encode(), _IFF_TAP | _IFF_NO_PI)
        try:
            fcntl.ioctl(self._tun, _TUNSETIFF, wanted)
            fcntl.ioctl(self._tun, _TUNSETPERSIST, 1)
        finally:
            os.close(self._tun)
        route = netlink.open_route_socket(netlink.GROUP_NEIGHBOURS)
        try:
            found = fcntl.ioctl(route, _SIOCGIFINDEX, pack("=16s24x", INTERFACE.encode()))
            (index,) = unpack_from("=i", found, 16)
            netlink.request(route, *self._settings(index))
            self._keep_waiting_packets(route, index)
            self._hand_over(ROUTE_SOCKET, route)
        finally:
            os.close(route)

    def _keep_waiting_packets(self, route: int, index: int) -> None:
        """Keep what waits on a link without carrier. Before Linux 5.16 it may be dropped: TCP then sends again after 1 s."""
        with suppress(OSError):
            netlink.request(route, netlink.keep_neighbours_without_carrier(index))
        if self.subnet.ipv6:
            with suppress(OSError):  # /proc may be read-only
                fd = os.open(_EVICT_6, os.O_WRONLY | os.O_CLOEXEC)
                os.write(fd, b"0")
                os.close(fd)

    def _settings(self, index: int) -> list[bytes]:
        subnet = self.subnet
        settings = [
            netlink.raise_link(netlink.LOOPBACK_INDEX),
            netlink.ask_for_neighbours(index, userspace=PATIENCE_SECONDS),
        ]
        if has_ipv6():
            settings.append(netlink.forbid_own_addresses(index))
        settings += [
            netlink.raise_link(index, mtu=MTU_BYTES),
            netlink.add_address(index, subnet.address, 24),
            netlink.add_default_route(index, subnet.gateway),
        ]
        if subnet.ipv6:
            settings += [
                netlink.ask_for_neighbours(index, userspace=PATIENCE_SECONDS, ipv6=True),
                # Without one of this kind the kernel reports its multicast groups as "::", and pasta answers to that.
                netlink.add_address(index, LINK_LOCAL_6, 64),
                netlink.add_address(index, ADDRESS_6, 64),
                netlink.add_default_route(index, GATEWAY_6),
            ]
        return settings


def has_ipv6() -> bool:
    """Tell whether the kernel knows IPv6 at all (ipv6.disable=1, or not compiled in)."""
    return os.path.exists("/proc/net/if_inet6")


def open_tun() -> int:
    """Open the tun device with the caller's rights; HostUnsupported, with the fix, when that cannot be."""
    hint = "or use --network none, or --network host"
    try:
        return os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        name = TUN_DEVICE.decode()
        if error.errno in (errno.EACCES, errno.EPERM):
            fix = f'as root: chmod 666 {name} (lasting: a udev rule KERNEL=="tun", MODE="0666"); {hint}'
        else:
            fix = f"as root: modprobe tun; in a container, give it the device {name}; {hint}"
        raise HostUnsupported(f"no private network: {name}: {error.strerror}", hint=fix) from error

"""The addresses of a sandbox: a network that the host does not use itself."""

from __future__ import annotations

import sys

from envgit.light_typing import NamedTuple

INTERFACE = "eth0"
MTU_BYTES = 65520
PATIENCE_SECONDS = 10
"""How long packets wait for a helper before programs are told that the host is unreachable."""
GATEWAY_HARDWARE = b"\x52\x55\x0a\x00\x02\x02"
"""What the kernel inside is told; helpers take every frame, whatever address it bears."""
ADDRESS_6, GATEWAY_6 = "fdc5:e6a8:7b1f:64::64", "fdc5:e6a8:7b1f:64::2"
LINK_LOCAL_6 = "fe80::64"
"""One unique local network for all: a sandbox never meets another one on a link."""
_CANDIDATES = ("10.0.2", "10.213.47", "172.30.213", "192.168.213", "100.100.213")


class Subnet(NamedTuple):
    """The first three numbers of an IPv4 network of 256 addresses, and whether there is IPv6 as well."""

    prefix: str = _CANDIDATES[0]
    ipv6: bool = False

    @property
    def address(self) -> str:
        return self.prefix + ".100"

    @property
    def gateway(self) -> str:
        return self.prefix + ".2"

    @property
    def resolver(self) -> str:
        """Where the helper answers for the host's resolver."""
        return self.prefix + ".3"

    @property
    def cidr(self) -> str:
        return self.prefix + ".0/24"


def free_subnet(routes: bytes, routes_6: bytes) -> Subnet:
    """Return the first network that no route of the host leads into, given the text of /proc/net/route and ipv6_route.

    IPv6 is offered when the host has a default route for it: a program that has an address without a way tries it first.
    """
    ipv6 = has_default_route_6(routes_6)
    for prefix in _CANDIDATES:
        if not routed(routes, number_of(prefix + ".0"), 256):
            return Subnet(prefix, ipv6)
    return Subnet(ipv6=ipv6)


def routed(routes: bytes, first: int, size: int) -> bool:
    """Tell whether a route other than the default one leads into `size` addresses, a power of two, from `first` on."""
    own_mask = 0xFFFFFFFF ^ (size - 1)
    for fields in (line.split() for line in routes.splitlines()[1:]):
        if len(fields) > 7:
            target, mask = _number(fields[1]), _number(fields[7])
            if mask and (target ^ first) & mask & own_mask == 0:
                return True
    return False


def has_default_route_6(routes_6: bytes) -> bool:
    """Tell whether the text of /proc/net/ipv6_route has a default route that is not the kernel's "unreachable" one."""
    for line in routes_6.splitlines():
        fields = line.split()
        if len(fields) > 9 and fields[0] == b"0" * 32 and fields[1] == b"00" and fields[9] != b"lo":
            return True
    return False


def number_of(address: str) -> int:
    """Return an IPv4 address as a number."""
    number = 0
    for part in address.split("."):
        number = number << 8 | int(part)
    return number


def _number(text: bytes) -> int:
    """Return a number of /proc/net/route, which shows network byte order as a word of this machine."""
    return int.from_bytes(int(text, 16).to_bytes(4, sys.byteorder), "big")

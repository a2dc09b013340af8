"""rtnetlink(7), the few messages a sandbox needs: links, addresses, routes, neighbours, as bytes over a raw socket.

`_socket` instead of `socket`: see handoff.py. A request is answered while it is being sent, so nothing here waits.
"""

from __future__ import annotations

import os
from _socket import AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW, inet_pton, socket
from struct import Struct, pack, unpack_from

AF_NETLINK = 16
NETLINK_ROUTE = 0
GROUP_NEIGHBOURS = 4
LOOPBACK_INDEX = 1

GET_NEIGHBOUR = 30
"""RTM_GETNEIGH; sent by the kernel to GROUP_NEIGHBOURS, it asks for the hardware address of a neighbour."""

_NEW_LINK, _DELETE_LINK, _GET_LINK, _NEW_ADDRESS, _NEW_ROUTE, _DELETE_ROUTE = 16, 17, 18, 20, 24, 25
_NEW_NEIGHBOUR, _DELETE_NEIGHBOUR, _SET_NEIGHBOUR_TABLE = 28, 29, 67
_ERROR = 2
_REQUEST, _ACKNOWLEDGE, _REPLACE, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_NESTED = 0x8000
_LINK_UP = 0x1
_PERMANENT = 0x80
_USE = 0x01
_NO_DAD, _NO_PREFIX_ROUTE = 0x02, 0x200
_SCOPE_UNIVERSE, _TABLE_MAIN, _PROTOCOL_STATIC, _UNICAST, _ON_LINK = 0, 254, 4, 1, 4
_OPERATIONAL = 6
_ARP_EVICT_NOCARRIER = 33
_ANSWER_BYTES = 32768

_Header = Struct("=IHHII")
_Link = Struct("=BxHiII")
_Address = Struct("=BBBBI")
_Route = Struct("=BBBBBBBBI")
_Neighbour = Struct("=BxxxiHBB")
_Attribute = Struct("=HH")


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded to four bytes."""
    return _Attribute.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(attributes))


def raise_link(index: int, *, mtu: int = 0) -> bytes:
    """Bring a link up; it never makes an IPv6 address by itself, so it sends nothing of its own accord."""
    body = _Link.pack(0, 0, index, _LINK_UP, _LINK_UP)
    if mtu:
        body += attribute(4, pack("=I", mtu))
    return _message(_NEW_LINK, 0, body)


def forbid_own_addresses(index: int) -> bytes:
    """Set the mode in which IPv6 makes no link-local address: no solicitations and no duplicate detection at link-up."""
    none = nested(26, nested(AF_INET6, attribute(8, b"\1")))  # IFLA_AF_SPEC, IFLA_INET6_ADDR_GEN_MODE
    return _message(_NEW_LINK, 0, _Link.pack(0, 0, index, 0, 0) + none)


def keep_neighbours_without_carrier(index: int) -> bytes:
    """Let packets wait on a link that has no carrier (Linux 5.16; EINVAL before, where they are dropped after a while)."""
    conf = nested(26, nested(AF_INET, nested(1, attribute(_ARP_EVICT_NOCARRIER, pack("=I", 0)))))
    return _message(_NEW_LINK, 0, _Link.pack(0, 0, index, 0, 0) + conf)


def make_veth(name: bytes, peer_name: bytes, peer_hardware: bytes, peer_pid: int) -> bytes:
    """Make a pair of links, the peer in the network namespace of a process. EEXIST when `name` is taken."""
    peer = _Link.pack(0, 0, 0, 0, 0) + attribute(3, peer_name + b"\0") + attribute(1, peer_hardware)
    peer += attribute(19, pack("=I", peer_pid))
    info = nested(18, attribute(1, b"veth"), nested(2, nested(1, peer)))
    return _message(_NEW_LINK, _CREATE | _EXCLUSIVE, _Link.pack(0, 0, 0, 0, 0) + attribute(3, name + b"\0") + info)


def delete_link(name: bytes) -> bytes:
    return _message(_DELETE_LINK, 0, _Link.pack(0, 0, 0, 0, 0) + attribute(3, name + b"\0"))


def add_address(index: int, address: str, prefix: int, *, network_route: bool = False) -> bytes:
    """Give a link an address, usable at once; a route to the network only when asked."""
    family, packed = _parse(address)
    flags = _NO_DAD | (0 if network_route else _NO_PREFIX_ROUTE)
    body = _Address.pack(family, prefix, flags & 0xFF, _SCOPE_UNIVERSE, index)
    body += attribute(2, packed) + attribute(1, packed) + attribute(8, pack("=I", flags))
    return _message(_NEW_ADDRESS, _CREATE | _EXCLUSIVE, body)


def add_default_route(index: int, gateway: str) -> bytes:
    """Send everything to a gateway, which is on the link whatever its address says."""
    return _message(_NEW_ROUTE, _CREATE | _EXCLUSIVE, _default_route(index, gateway))


def delete_default_route(index: int, gateway: str) -> bytes:
    return _message(_DELETE_ROUTE, 0, _default_route(index, gateway))


def ask_for_neighbours(index: int, *, userspace: int = 0, wire: int = 0, ipv6: bool = False) -> bytes:
    """Choose who is asked for hardware addresses on a link: GROUP_NEIGHBOURS so many times, then the wire, once a second.

    Packets wait in the kernel meanwhile.
    """
    family, table = (AF_INET6, b"ndisc_cache\0") if ipv6 else (AF_INET, b"arp_cache\0")
    numbers = (
        (1, index),
        (9, userspace),
        (10, 0),
        (11, wire),
    )  # NDTPA_ IFINDEX, APP_PROBES, UCAST_PROBES, MCAST_PROBES
    parameters = nested(6, *(attribute(kind, pack("=I", number)) for kind, number in numbers))
    return _message(_SET_NEIGHBOUR_TABLE, 0, pack("=Bxxx", family) + attribute(1, table) + parameters)


def look_for_neighbour(index: int, address: str) -> bytes:
    """Ask for a neighbour's hardware address now, as the next packet to it would."""
    family, packed = _parse(address)
    body = _Neighbour.pack(family, index, 0, _USE, _UNICAST) + attribute(1, packed)
    return _message(_NEW_NEIGHBOUR, _CREATE | _REPLACE, body)


def set_neighbour(index: int, address: str, hardware: bytes) -> bytes:
    """State a neighbour's hardware address for good; packets that waited for it leave."""
    family, packed = _parse(address)
    body = _Neighbour.pack(family, index, _PERMANENT, 0, _UNICAST) + attribute(1, packed) + attribute(2, hardware)
    return _message(_NEW_NEIGHBOUR, _CREATE | _REPLACE, body)


def forget_neighbour(index: int, address: str) -> bytes:
    family, packed = _parse(address)
    return _message(_DELETE_NEIGHBOUR, 0, _Neighbour.pack(family, index, 0, 0, _UNICAST) + attribute(1, packed))


def open_route_socket(groups: int = 0) -> int:
    """Return a socket to the network namespace of this process, subscribed to `groups`; never blocks."""
    route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)
    route.bind((0, groups))
    return route.detach()


def request(fd: int, *messages: bytes) -> None:
    """Send requests one by one; raise OSError with the kernel's errno at the first that is refused."""
    for message in messages:
        _answer(fd, message)


def is_operational(fd: int, index: int) -> bool:
    """Tell whether packets given to a link are sent. The carrier alone does not say so: its queue starts a little later."""
    answer = _answer(fd, _message(_GET_LINK, 0, _Link.pack(0, 0, index, 0, 0)))
    offset = _Header.size + _Link.size
    while offset + _Attribute.size <= len(answer):
        length, kind = _Attribute.unpack_from(answer, offset)
        if kind == 16:  # IFLA_OPERSTATE
            return answer[offset + 4] == _OPERATIONAL
        offset += max((length + 3) & ~3, 4)
    return False


def asked_for_neighbour(fd: int) -> bool:
    """Read every notification; tell whether the kernel asked for a neighbour (or said so much that some was lost)."""
    asked = False
    while True:
        try:
            data = os.read(fd, _ANSWER_BYTES)
        except BlockingIOError:
            return asked
        except OSError:  # ENOBUFS
            asked = True
            continue
        if not data:
            return asked
        asked = asked or any(kind == GET_NEIGHBOUR for kind, _, _ in _split(data))


_sequence = 0


def _message(kind: int, flags: int, body: bytes) -> bytes:
    """A whole message; its sequence number is filled in when it is sent."""
    return _Header.pack(_Header.size + len(body), kind, flags | _REQUEST | _ACKNOWLEDGE, 0, 0) + body


def _answer(fd: int, message: bytes) -> bytes:
    """Send one request; return the message that came back before its acknowledgement, b"" if there was none."""
    global _sequence
    _sequence += 1
    os.write(fd, message[:8] + pack("=I", _sequence) + message[12:])
    found = b""
    while True:
        for kind, sequence, text in _split(os.read(fd, _ANSWER_BYTES)):
            if sequence != _sequence:
                continue  # a notification
            if kind != _ERROR:
                found = text
                continue
            (number,) = unpack_from("=i", text, _Header.size)
            if number:
                raise OSError(-number, os.strerror(-number), "rtnetlink")
            return found


def _split(data: bytes) -> list[tuple[int, int, bytes]]:
    """Return (type, sequence number, whole message) of each message in what was read."""
    messages = []
    offset = 0
    while offset + _Header.size <= len(data):
        length, kind, _, sequence, _ = _Header.unpack_from(data, offset)
        if length < _Header.size:
            break
        messages.append((kind, sequence, data[offset : offset + length]))
        offset += (length + 3) & ~3
    return messages


def _default_route(index: int, gateway: str) -> bytes:
    family, packed = _parse(gateway)
    head = _Route.pack(family, 0, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, _SCOPE_UNIVERSE, _UNICAST, _ON_LINK)
    return head + attribute(5, packed) + attribute(4, pack("=I", index))


def _parse(address: str) -> tuple[int, bytes]:
    family = AF_INET6 if ":" in address else AF_INET
    return family, inet_pton(family, address)

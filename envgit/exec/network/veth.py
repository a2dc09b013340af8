"""Root's network where no helper program is installed: a pair of links and address translation by nftables.

The inner end is made in the sandbox's namespace, so both ends go when it goes. The rules are one table, named after PID 1
of the sandbox; a table whose process is gone is removed by the next start. The number of the host's end, which the kernel
hands out once, chooses the addresses; the sandbox reads it from its link's hardware address.
"""

from __future__ import annotations

import errno
import fcntl
import os
from _socket import if_nametoindex
from contextlib import suppress
from struct import pack, unpack_from

from envgit.errors import HostUnsupported, SandboxError
from envgit.exec.network import netlink
from envgit.exec.network.link import has_ipv6
from envgit.exec.network.liveness import is_running
from envgit.exec.network.subnet import INTERFACE, number_of, routed
from envgit.exec.process import PYTHON_IGNORES
from envgit.light_typing import NamedTuple

_PREFIX = "envgit"
_POOL = number_of("10.212.0.0")
_SLOTS = 16384
_SLOT_ADDRESSES = 4
_HARDWARE = b"\x02\x65\x67\x00"
"""The beginning of an inner end's hardware address; the slot follows."""
_SIOCGIFHWADDR, _SIOCGIFINDEX = 0x8927, 0x8933
_FORWARDING = "/proc/sys/net/ipv4/ip_forward"


class Addresses(NamedTuple):
    """A slot's network of four: the host's end and the sandbox's."""

    gateway: str
    address: str


def addresses_of(slot: int) -> Addresses:
    first = _POOL + slot * _SLOT_ADDRESSES
    return Addresses(_text(first + 1), _text(first + 2))


class Veth:
    """The host's side of one sandbox's pair; made after the clone and before the program starts."""

    __slots__ = ("_program", "_table", "slot")

    def __init__(self, pid: int, program: bytes, routes: bytes) -> None:
        """Make the pair into the network namespace of `pid`, and the rules by `program` (nft).

        `routes` is the text of /proc/net/route: networks that the host uses are left alone. Raises HostUnsupported when
        the host does not forward packets: that is not ours to change.
        """
        _check_forwarding()
        self._program = program
        self._table = f"{_PREFIX}_{pid}"
        _remove_leftovers(program)
        route = netlink.open_route_socket()
        try:
            self.slot = _make_pair(route, pid, routes)
            try:
                self._connect(route)
            except BaseException:
                with suppress(OSError):
                    netlink.request(route, netlink.delete_link(_name(self.slot).encode()))
                raise
        finally:
            os.close(route)

    def close(self) -> None:
        """Remove the rules; the links go with the sandbox. May be called twice."""
        if not self._table:
            return
        _nft(self._program, f"add table inet {self._table}; delete table inet {self._table}")
        self._table = ""

    def _connect(self, route: int) -> None:
        gateway, address = addresses_of(self.slot)
        name = _name(self.slot)
        index = if_nametoindex(name)
        messages = [netlink.forbid_own_addresses(index)] if has_ipv6() else []
        messages += [netlink.add_address(index, gateway, 30, network_route=True), netlink.raise_link(index)]
        netlink.request(route, *messages)
        status, said = _nft(self._program, _rules(self._table, name, address))
        if status:
            raise SandboxError(f"address translation for the private network: {said or f'nft ended with {status}'}")


class SetUpVeth:
    """The child's side: addresses and the route of the inner end, and the loopback."""

    __slots__ = ()

    def describe(self) -> str:
        return f"private network on {INTERFACE} (veth)"

    def open(self, place: object) -> None:
        pass

    def execute(self, place: object) -> None:
        route = netlink.open_route_socket()
        try:
            wanted = pack("=16s24x", INTERFACE.encode())
            (index,) = unpack_from("=i", fcntl.ioctl(route, _SIOCGIFINDEX, wanted), 16)
            hardware = fcntl.ioctl(route, _SIOCGIFHWADDR, wanted)[18:24]
            gateway, address = addresses_of(int.from_bytes(hardware[4:], "big"))
            netlink.request(
                route,
                netlink.raise_link(netlink.LOOPBACK_INDEX),
                *([netlink.forbid_own_addresses(index)] if has_ipv6() else []),
                netlink.raise_link(index),
                netlink.add_address(index, address, 30, network_route=True),
                netlink.add_default_route(index, gateway),
            )
        finally:
            os.close(route)


def _check_forwarding() -> None:
    try:
        with open(_FORWARDING, "rb", buffering=0) as file:
            on = file.read(1) == b"1"
    except OSError:
        on = False
    if not on:
        raise HostUnsupported(
            "no private network: this machine does not forward packets",
            hint="install the package passt, or: sysctl -w net.ipv4.ip_forward=1",
        )


def _make_pair(route: int, pid: int, routes: bytes) -> int:
    """Make the first pair whose number and network are free; return the number."""
    for slot in range(_SLOTS):
        if routed(routes, _POOL + slot * _SLOT_ADDRESSES, _SLOT_ADDRESSES):
            continue
        hardware = _HARDWARE + slot.to_bytes(2, "big")
        try:
            netlink.request(route, netlink.make_veth(_name(slot).encode(), INTERFACE.encode(), hardware, pid))
            return slot
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
    raise SandboxError(f"no private network: all {_SLOTS} of this machine are in use")


def _rules(table: str, name: str, address: str) -> str:
    """One table: the sandbox uses its own address only, never reaches the loopback or another sandbox, and is translated."""
    return f"""
        table inet {table} {{
            chain arriving {{
                type filter hook prerouting priority raw;
                iifname "{name}" ip saddr != {address} drop
                iifname "{name}" ip daddr 127.0.0.0/8 drop
                iifname "{name}" meta nfproto ipv6 drop
            }}
            chain passing {{
                type filter hook forward priority filter;
                iifname "{name}" oifname "{_PREFIX}*" drop
            }}
            chain leaving {{
                type nat hook postrouting priority srcnat;
                ip saddr {address} oifname != "{name}" masquerade
            }}
        }}"""


def _remove_leftovers(program: bytes) -> None:
    """Remove the tables of sandboxes whose monitor was killed."""
    status, said = _nft(program, "list tables inet")
    if status:
        raise SandboxError(f"address translation for the private network: {said}")
    for line in said.splitlines():
        name = line.split()[-1] if line.split() else ""
        number = name.removeprefix(_PREFIX + "_")
        if number != name and number.isdecimal() and not is_running(int(number)):
            _nft(program, f"add table inet {name}; delete table inet {name}")


def _nft(program: bytes, script: str) -> tuple[int, str]:
    """Run a script; return the exit status and what was said."""
    said = os.memfd_create("nft", os.MFD_CLOEXEC)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, said, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
        words = (program, script.encode())
        child = os.posix_spawn(program, words, {}, file_actions=actions, setsigmask=(), setsigdef=PYTHON_IGNORES)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return status, os.pread(said, 65536, 0).decode("utf-8", "replace").strip()
    finally:
        os.close(said)
        os.close(null)


def _name(slot: int) -> str:
    return f"{_PREFIX}{slot}"


def _text(number: int) -> str:
    return ".".join(str(number >> shift & 0xFF) for shift in (24, 16, 8, 0))

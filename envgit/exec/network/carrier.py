"""The programs that carry a private network's packets: which of them this machine has, and how each is called.

They are looked for in fixed folders, never by the caller's PATH, and get no environment.
"""

from __future__ import annotations

import os

from envgit.errors import HostUnsupported
from envgit.exec.network.link import TUN_DEVICE, open_tun
from envgit.exec.network.subnet import ADDRESS_6, GATEWAY_6, INTERFACE, MTU_BYTES, Subnet
from envgit.light_typing import Literal, NamedTuple

Kind = Literal["pasta", "slirp4netns", "veth"]
Wanted = Literal["auto", "pasta", "slirp4netns", "veth"]
FOLDERS = (
    b"/usr/bin",
    b"/usr/sbin",
    b"/usr/local/bin",
    b"/usr/local/sbin",
    b"/bin",
    b"/sbin",
    b"/run/current-system/sw/bin",
)
_PROGRAMS: dict[Kind, tuple[bytes, str]] = {
    "pasta": (b"pasta", "passt"),
    "slirp4netns": (b"slirp4netns", "slirp4netns"),
    "veth": (b"nft", "nftables"),
}
_PROGRAM_BYTES = 4 << 20
_OTHERWISE = "or use --network none, or --network host"


class Helper(NamedTuple):
    """What carries the packets, and the program that is called for it (for "veth" the one that sets up NAT)."""

    kind: Kind
    program: bytes


def choose(wanted: Wanted = "auto", *, as_root: bool, folders: tuple[bytes, ...] = FOLDERS) -> tuple[Helper, ...]:
    """Return the helpers to try, best first, all of them for a tap, or a single "veth".

    "auto" is pasta (an old one only after slirp4netns), else slirp4netns, else as root veth. Raises HostUnsupported that
    names the package, or the fix for the tun device, when nothing is left.
    """
    if wanted == "veth":
        if not as_root:
            raise HostUnsupported("only root can have a veth network", hint=f"install the package passt, {_OTHERWISE}")
        return (_need("veth", folders),)
    kinds: tuple[Kind, ...] = ("pasta", "slirp4netns") if wanted == "auto" else (wanted,)
    found = tuple(helper for kind in kinds if (helper := _find(kind, folders)))
    if len(found) > 1 and not _is_recent(found[0].program):
        found = found[::-1]
    if found and os.access(TUN_DEVICE, os.R_OK | os.W_OK):
        return found
    if wanted == "auto" and as_root and (veth := _find("veth", folders)):
        return (veth,)
    if found:
        os.close(open_tun())  # says why not
        return found
    if wanted == "auto":
        more = ", slirp4netns or nftables" if as_root else " or slirp4netns"
        raise HostUnsupported(
            "no private network: neither pasta nor slirp4netns is installed",
            hint=f"install the package passt{more}, {_OTHERWISE}",
        )
    return (_need(wanted, folders),)


def command(helper: Helper, pid: int, subnet: Subnet, *, as_root: bool, exit_fd: int) -> list[bytes]:
    """Return the command line that attaches a helper to the tap of process `pid`.

    Neither way of reaching the host's loopback is open: not by the gateway's address, not by forwarded ports. `exit_fd`
    hangs up when the monitor is gone; pasta does not look at it.
    """
    if helper.kind == "slirp4netns":
        words = ["--disable-host-loopback", f"--mtu={MTU_BYTES}", f"--cidr={subnet.cidr}"]
        words += ["--enable-sandbox", "--enable-seccomp", f"--exit-fd={exit_fd}", str(pid), INTERFACE]
    else:
        words = ["--foreground", "--quiet", "--ns-ifname", INTERFACE, "--no-map-gw"]
        words += ["--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"]
        words += ["--no-dhcp", "--no-dhcpv6", "--no-ra", "--mtu", str(MTU_BYTES)]
        words += ["--address", subnet.address, "--netmask", "24", "--gateway", subnet.gateway]
        words += ["--dns-forward", subnet.resolver]
        words += ["--address", ADDRESS_6, "--gateway", GATEWAY_6] if subnet.ipv6 else ["--ipv4-only"]
        if as_root:  # else it becomes nobody, who may not enter the sandbox's namespaces
            words += ["--runas", "0:0"]
        words.append(str(pid))
    return [helper.program, *(word.encode() for word in words)]


def carries_ipv6(helpers: tuple[Helper, ...]) -> bool:
    """Tell whether IPv6 may be offered inside: the helper that is tried first carries it."""
    return helpers[0].kind == "pasta"


def _is_recent(pasta: bytes) -> bool:
    """Tell whether a pasta is of August 2024 or later, by an option that its program text names.

    Debian 12's (February 2023) repeats or withholds what arrives after a program has shut down its sending half, stalls
    under load, and answers no question to the resolver by TCP; all of it was seen. Its --version says "unknown".
    """
    try:
        with open(pasta, "rb", buffering=0) as file:
            return b"map-host-loopback" in file.read(_PROGRAM_BYTES)
    except OSError:
        return False


def _need(kind: Kind, folders: tuple[bytes, ...]) -> Helper:
    helper = _find(kind, folders)
    if helper is None:
        name, package = _PROGRAMS[kind]
        hint = f"install the package {package}, {_OTHERWISE}"
        raise HostUnsupported(f"no private network: {name.decode()} is not installed", hint=hint)
    return helper


def _find(kind: Kind, folders: tuple[bytes, ...]) -> Helper | None:
    for folder in folders:
        path = folder + b"/" + _PROGRAMS[kind][0]
        if os.access(path, os.X_OK):
            return Helper(kind, path)
    return None

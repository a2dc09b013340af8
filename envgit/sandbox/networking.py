"""Which network a sandbox gets: what was asked for, and what can be had."""

from __future__ import annotations

import os
from collections.abc import Callable

from envgit.errors import HostUnsupported, UsageError
from envgit.exec.network.carrier import Helper, carries_ipv6, choose
from envgit.exec.network.resolver import UPLINK_FILE, hosts, nameservers, parse_extra_host, resolv_conf
from envgit.exec.network.subnet import Subnet, free_subnet
from envgit.exec.spec import Network
from envgit.light_typing import NamedTuple
from envgit.sandbox.request import RunRequest


class Way(NamedTuple):
    """`network` and `subnet` are for the spec; `helpers` may carry a tap's packets, best first."""

    network: Network
    subnet: Subnet = Subnet()
    helpers: tuple[Helper, ...] = ()


def choose_way(request: RunRequest, warn: Callable[[str], None]) -> Way:
    """Return the network of a sandbox.

    Private unless asked otherwise; when that cannot be had and was not asked for by name, none, with a warning. Raises
    UsageError for ports that nothing could reach, HostUnsupported that names the package or the fix.
    """
    publishes = bool(request.publish) or request.publish_all
    if request.network == "host":
        if publishes:
            raise UsageError("with --network host every port is the host's already", hint="leave -p out")
        return Way("host")
    if request.network == "none":
        return Way("none")
    try:
        helpers = choose(request.network_helper, as_root=os.geteuid() == 0)  # type: ignore[arg-type]  # checked there
    except HostUnsupported as error:
        if request.network == "private" or publishes:
            raise
        hint = error.hint or ""
        warn(f"{error.message}; this sandbox has none. {hint[:1].upper()}{hint[1:]}")
        return Way("none")
    if helpers[0].kind == "veth":
        return Way("veth", helpers=helpers)
    routes_6 = _read("/proc/net/ipv6_route") if carries_ipv6(helpers) else b""
    return Way("tap", free_subnet(_read("/proc/net/route"), routes_6), helpers)


def injected_files(
    request: RunRequest, way: Way, hostname: str, warn: Callable[[str], None]
) -> tuple[tuple[bytes, bytes], ...]:
    """Return (path, content) of the memory files that tell programs about the network. Raises UsageError for --add-host."""
    extra = tuple(parse_extra_host(text) for text in request.add_hosts)
    files = [(b"/etc/hostname", os.fsencode(hostname) + b"\n")]
    if way.network == "host":
        lines = "".join(f"{address}\t{name}\n" for name, address in extra)
        files.append((b"/etc/hosts", _read("/etc/hosts") + lines.encode()))
    else:
        own = way.subnet.address if way.network == "tap" else "127.0.1.1"
        files.append((b"/etc/hosts", hosts(hostname, own, extra)))
    if way.network != "none":
        files.append((b"/etc/resolv.conf", _resolv_conf(way, warn)))
    return tuple(files)


def _resolv_conf(way: Way, warn: Callable[[str], None]) -> bytes:
    host = _read("/etc/resolv.conf")
    if way.network == "tap":
        return resolv_conf(host, (way.subnet.resolver,))
    if way.network == "host":
        return resolv_conf(host, nameservers(host, loopback=True))
    servers = nameservers(host, loopback=False) or nameservers(_read(os.fsdecode(UPLINK_FILE)), loopback=False)
    if not servers:
        warn(
            "the host's resolvers are on its loopback, which a veth network cannot reach: install passt for names to work"
        )
    return resolv_conf(host, servers)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""

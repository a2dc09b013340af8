"""What is published: the forms of docker's `-p` and `-P` as values, and how docker prints them."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from collections.abc import Iterable
from typing import NamedTuple

from envgit.errors import UsageError

DEFAULT_ADDRESS = "127.0.0.1"
LAST_PORT = 65535
FORMS = "use [IP:][HOST:]PORT[/udp], for example 8080:80, 127.0.0.1::80 or [::1]:8080:80"


class Publish(NamedTuple):
    """A wish: `port` of the sandbox shall be reachable at `address`, at one of the host's ports `first` to `last`.

    0 to 0: the kernel chooses a free one. `address` is numeric, IPv4 or IPv6 without brackets, as the kernel prints it.
    """

    port: int
    protocol: str = "tcp"
    address: str = DEFAULT_ADDRESS
    first: int = 0
    last: int = 0


class Bound(NamedTuple):
    """A wish fulfilled: the host's socket that waits at `address` and `host_port` for `port` of the sandbox.

    `fd` is that socket (listening if tcp), close-on-exec and non-blocking; -1 in a value read back from a record.
    """

    address: str
    host_port: int
    port: int
    protocol: str
    fd: int = -1


def parse_publish(text: str) -> tuple[Publish, ...]:
    """Parse one `-p`: [IP:][HOST:]PORT[/tcp|/udp], each port a number or FIRST-LAST, or published=HOST,target=PORT.

    A range of the sandbox's ports gives one value per port, host ports in step (or free ones); one port with a range of
    host ports gives one value that takes the first free. Without an IP the address is 127.0.0.1, unlike docker.
    Raises UsageError for everything else.
    """
    address, host, inside, protocol = _split(_standard_notation(text), text)
    first_inside, last_inside = _parse_ports(inside, text, lowest=1)
    if not host:
        return tuple(Publish(port, protocol, address) for port in range(first_inside, last_inside + 1))
    first, last = _parse_ports(host, text, lowest=0)
    if first == 0 and last != 0:
        raise _wrong(text, "a range of host ports starts at 1 or above")
    if first_inside == last_inside:
        return (Publish(first_inside, protocol, address, first, last),)
    if last - first != last_inside - first_inside:
        raise _wrong(
            text, f"{last - first + 1} host ports for {last_inside - first_inside + 1} ports of the sandbox",
            f"give both ranges the same length: {first}-{min(first + last_inside - first_inside, LAST_PORT)}:{inside}",
        )  # fmt: skip
    step = first - first_inside
    return tuple(
        Publish(port, protocol, address, port + step, port + step) for port in range(first_inside, last_inside + 1)
    )


def expose(texts: Iterable[str], published: Iterable[Publish] = ()) -> tuple[Publish, ...]:
    """Return what `-P` publishes: each of an environment's ExposedPorts ("80/tcp", "53/udp", "8000-8010", "80") at a free
    host port, sorted, without those that `published` has already. Raises UsageError for a malformed one."""
    taken = {(each.port, each.protocol) for each in published}
    wanted = set()
    for text in texts:
        ports, protocol = _split_protocol(text, text)
        first, last = _parse_ports(ports, text, lowest=1)
        wanted |= {(port, protocol) for port in range(first, last + 1)}
    return tuple(Publish(port, protocol) for port, protocol in sorted(wanted - taken))


def format_bound(bound: Bound) -> str:
    """Return it as `docker ps` prints it: 127.0.0.1:8080->80/tcp, [::1]:8080->80/tcp."""
    return _format_run(bound, bound)


def format_bounds(bounds: Iterable[Bound]) -> str:
    """Return all of them, sorted by the sandbox's port, neighbours as a range: 127.0.0.1:8000-8010->80-90/tcp, ..."""
    runs: list[tuple[Bound, Bound]] = []
    for bound in sorted(bounds, key=lambda each: (each.protocol, each.address, each.port, each.host_port)):
        last = runs[-1][1] if runs else None
        if last is not None and last._replace(fd=-1) == bound._replace(
            host_port=bound.host_port - 1, port=bound.port - 1, fd=-1
        ):
            runs[-1] = (runs[-1][0], bound)
        else:
            runs.append((bound, bound))
    return ", ".join(_format_run(*run) for run in sorted(runs, key=lambda run: (run[0].port, run[0].protocol)))


def format_address(address: str, port: int) -> str:
    """Return ADDRESS:PORT, IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _format_run(first: Bound, last: Bound) -> str:
    if first == last:
        return f"{format_address(first.address, first.host_port)}->{first.port}/{first.protocol}"
    outside = format_address(first.address, first.host_port)
    return f"{outside}-{last.host_port}->{first.port}-{last.port}/{first.protocol}"


def _standard_notation(text: str) -> str:
    """Turn docker's long form published=8080,target=80,protocol=udp into the short one."""
    if "=" not in text:
        return text
    fields: dict[str, str] = {}
    for field in text.split(","):
        name, equals, value = field.partition("=")
        if not equals or name not in ("published", "target", "protocol", "mode") or name in fields:
            raise _wrong(text, f"{field!r} is no published=, target= or protocol=")
        fields[name] = value
    if fields.get("mode", "host") not in ("host", "ingress"):
        raise _wrong(text, f"no mode {fields['mode']!r}")
    if not fields.get("target"):
        raise _wrong(text, "target= is missing", "add the sandbox's port: target=80")
    return f"{fields.get('published', '')}:{fields['target']}/{fields.get('protocol', 'tcp')}"


def _split(text: str, original: str) -> tuple[str, str, str, str]:
    """Return address, host ports, inside ports, protocol; ports as they were typed."""
    rest, protocol = _split_protocol(text, original)
    rest, _, inside = rest.rpartition(":")
    address, _, host = rest.rpartition(":")
    if not inside:
        raise _wrong(original, "the sandbox's port is missing", "it comes last: -p HOST:PORT")
    if "." in host or host.endswith("]"):
        raise _wrong(original, "the host port is missing", f"for a free one type two colons: {rest}::{inside}")
    return _parse_address(address, original), host, inside, protocol


def _split_protocol(text: str, original: str) -> tuple[str, str]:
    rest, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol == "sctp":
        raise _wrong(original, "sctp is not carried", "only tcp and udp are")
    if protocol not in ("tcp", "udp"):
        raise _wrong(original, f"no protocol {protocol!r}", "use /tcp or /udp")
    return rest, protocol


def _parse_address(text: str, original: str) -> str:
    """Return the numeric address as the kernel prints it."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not bare:
        if text:
            raise _wrong(original, "the brackets are empty")
        return DEFAULT_ADDRESS
    family = AF_INET6 if ":" in bare else AF_INET
    try:
        packed = inet_pton(family, bare)
    except (OSError, ValueError):
        hint = "names are not looked up, use the number: 127.0.0.1" if bare[0].isalpha() and ":" not in bare else FORMS
        raise _wrong(original, f"no IP address: {bare!r}", hint) from None
    if family == AF_INET6 and packed.startswith(bytes(10) + b"\xff\xff"):
        plain = inet_ntop(AF_INET, packed[12:])
        raise _wrong(original, f"{bare} is an IPv4 address in disguise", f"use {plain}")
    return inet_ntop(family, packed)


def _parse_ports(text: str, original: str, *, lowest: int) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    numbers = (first, last if dash else first)
    for number in numbers:
        if not (number.isascii() and number.isdigit()) or len(number) > 5 or not lowest <= int(number) <= LAST_PORT:
            raise _wrong(original, f"no port: {number!r}", f"ports are {lowest or 1} to {LAST_PORT}; {FORMS}")
    if int(numbers[0]) > int(numbers[1]):
        raise _wrong(original, f"the range {text} goes backwards", f"use {numbers[1]}-{numbers[0]}")
    return int(numbers[0]), int(numbers[1])


def _wrong(text: str, why: str, hint: str = FORMS) -> UsageError:
    return UsageError(f"cannot publish {text!r}: {why}", hint=hint)

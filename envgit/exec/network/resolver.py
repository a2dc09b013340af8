"""Contents of /etc/resolv.conf and /etc/hosts inside, made from the host's; nothing is copied that is not understood."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_pton

from envgit.errors import UsageError

UPLINK_FILE = b"/run/systemd/resolve/resolv.conf"
"""Where systemd-resolved names the resolvers of the network, when /etc/resolv.conf names only itself."""
_NAME = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_OPTION = _NAME | frozenset(b":")
_MAXIMUM_SERVERS = 3
_MAXIMUM_NAME = 253
_MAXIMUM_WORDS = 32


def resolv_conf(host: bytes, nameservers: tuple[str, ...]) -> bytes:
    """Return a resolv.conf with `nameservers`, and search domains and options of the host's."""
    lines = [f"nameserver {address}" for address in nameservers[:_MAXIMUM_SERVERS]]
    search: list[str] = []
    options: list[str] = []
    for words in _lines(host):
        if words[0] in (b"search", b"domain"):
            search = _clean(words[1:], _NAME)  # the last line counts
        elif words[0] == b"options":
            options += _clean(words[1:], _OPTION)
    lines += [f"search {' '.join(search)}"] if search else []
    lines += [f"options {' '.join(options[:_MAXIMUM_WORDS])}"] if options else []
    return "".join(line + "\n" for line in lines).encode()


def nameservers(host: bytes, *, loopback: bool) -> tuple[str, ...]:
    """Return the resolvers that a resolv.conf names; those on the host's loopback only if `loopback`.

    An empty answer means, by resolv.conf(5), the resolver on the own machine.
    """
    found = []
    for words in _lines(host):
        if words[0] == b"nameserver" and len(words) > 1:
            address = words[1].decode("ascii", "replace")
            if _family(address.partition("%")[0]) and (loopback or not is_loopback(address)):
                found.append(address)
    return tuple(found)


def is_loopback(address: str) -> bool:
    family = _family(address)
    if family == AF_INET:
        return address.startswith(("127.", "0."))
    packed = inet_pton(AF_INET6, address) if family else b""
    mapped = packed[:12] == bytes(10) + b"\xff\xff" and packed[12] in (0, 127)
    return mapped or packed[:15] == bytes(15)


def hosts(hostname: str, address: str, extra: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Return an /etc/hosts with the sandbox's own name at `address`, and then (name, address) pairs of the caller."""
    pairs = [("localhost", "127.0.0.1"), ("localhost ip6-localhost ip6-loopback", "::1"), (hostname, address), *extra]
    return "".join(f"{ip}\t{name}\n" for name, ip in pairs if name).encode()


def parse_extra_host(text: str) -> tuple[str, str]:
    """Return (name, address) of NAME:ADDRESS; an IPv6 address may be in brackets. UsageError for anything else."""
    name, colon, address = text.partition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if address == "host-gateway":
        raise UsageError(
            "--add-host knows no host-gateway: a sandbox has no way to the loopback of this machine",
            hint=f"give an address of this machine that the service listens on: --add-host {name}:ADDRESS",
        )
    encoded = name.encode("utf-8", "surrogateescape")
    if not colon or not name or len(name) > _MAXIMUM_NAME or not _NAME.issuperset(encoded) or not _family(address):
        raise UsageError(f"{text!r} is not NAME:ADDRESS", hint="for instance --add-host db:192.0.2.7")
    return name, address


def _lines(text: bytes) -> list[list[bytes]]:
    """Return the words of each line that is not a comment."""
    lines = (line.partition(b"#")[0].partition(b";")[0].split() for line in text[:65536].splitlines())
    return [words for words in lines if words]


def _clean(words: list[bytes], allowed: frozenset[int]) -> list[str]:
    good = (word for word in words if len(word) <= _MAXIMUM_NAME and allowed.issuperset(word))
    return [word.decode("ascii") for word in good][:_MAXIMUM_WORDS]


def _family(address: str) -> int:
    """Return the family of an address, 0 for what is none."""
    for family in (AF_INET, AF_INET6):
        try:
            inet_pton(family, address)
            return family
        except (OSError, ValueError):
            continue
    return 0

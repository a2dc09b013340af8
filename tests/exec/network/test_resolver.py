"""What /etc/resolv.conf and /etc/hosts say inside, whatever the host's say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.errors import UsageError
from envgit.exec.network.resolver import hosts, is_loopback, nameservers, parse_extra_host, resolv_conf

HOST = b"""# made by somebody
nameserver 127.0.0.53
nameserver 192.0.2.1 ; the router
nameserver 2001:db8::53
nameserver fe80::1%eth0
nameserver not-an-address
search old.test
search a.test b.test evil\x1b[31m $(id) c.test
options edns0 trust-ad ndots:2 bad'option
sortlist 192.0.2.0
"""


def test_the_helpers_resolver_replaces_the_hosts_and_the_rest_stays() -> None:
    assert resolv_conf(HOST, ("10.0.2.3",)) == (
        b"nameserver 10.0.2.3\nsearch a.test b.test c.test\noptions edns0 trust-ad ndots:2\n"
    )


def test_without_a_network_there_is_no_resolver() -> None:
    assert resolv_conf(b"", ()) == b""


def test_the_hosts_resolvers_are_found() -> None:
    everything = ("127.0.0.53", "192.0.2.1", "2001:db8::53", "fe80::1%eth0")
    assert nameservers(HOST, loopback=True) == everything
    assert nameservers(HOST, loopback=False) == everything[1:]
    assert nameservers(b"nameserver 127.0.0.53\nnameserver ::1\n", loopback=False) == ()


def test_the_c_library_reads_three_servers() -> None:
    assert resolv_conf(b"", ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")).count(b"nameserver") == 3


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("0.0.0.0", True), ("::1", True), ("::", True),
        ("::ffff:127.0.0.1", True), ("10.0.2.3", False), ("2001:db8::1", False), ("::ffff:192.0.2.1", False),
    ],
)  # fmt: skip
def test_loopback_in_all_its_spellings(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@given(st.binary(max_size=400))
def test_nothing_that_is_not_understood_is_copied(text: bytes) -> None:
    made = resolv_conf(b"search " + text + b"\noptions " + text + b"\n" + text, ("192.0.2.1",))
    assert made.isascii()
    for line in made.decode().splitlines():
        assert line.split()[0] in ("nameserver", "search", "options")
        assert line.isprintable()
        assert not set(line) & set("#;$'\"\\")


def test_hosts_file() -> None:
    assert hosts("box", "10.0.2.100", (("db", "192.0.2.7"), ("db", "2001:db8::7"))) == (
        b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.2.100\tbox\n192.0.2.7\tdb\n2001:db8::7\tdb\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db:192.0.2.7", ("db", "192.0.2.7")),
        ("db:2001:db8::7", ("db", "2001:db8::7")),
        ("db:[2001:db8::7]", ("db", "2001:db8::7")),
        ("my_db.local:127.0.0.1", ("my_db.local", "127.0.0.1")),
    ],
)
def test_extra_hosts(text: str, expected: tuple[str, str]) -> None:
    assert parse_extra_host(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "db",
        "db:",
        ":192.0.2.7",
        "db:192.0.2",
        "db:name",
        "a b:192.0.2.7",
        "a\nb:192.0.2.7",
        "db:192.0.2.7\n1 x",
        "é:::1",
        "\0:::1",
        "a:\0",
    ],
)
def test_bad_extra_hosts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not NAME:ADDRESS"):
        parse_extra_host(text)


def test_host_gateway_is_refused_with_the_way_to_say_it() -> None:
    with pytest.raises(UsageError, match="no host-gateway") as caught:
        parse_extra_host("host.docker.internal:host-gateway")
    assert "--add-host host.docker.internal:ADDRESS" in (caught.value.hint or "")

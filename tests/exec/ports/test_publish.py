"""The forms of -p and -P: those of docker, and what is said about wrong ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.errors import UsageError
from envgit.exec.ports.publish import Bound, Publish, expose, format_bound, format_bounds, parse_publish

HERE = "127.0.0.1"

RIGHT: dict[str, list[tuple[int, str, str, int, int]]] = {
    "80": [(80, "tcp", HERE, 0, 0)],
    "80/udp": [(80, "udp", HERE, 0, 0)],
    "80/TCP": [(80, "tcp", HERE, 0, 0)],
    "8080:80": [(80, "tcp", HERE, 8080, 8080)],
    "8080:80/udp": [(80, "udp", HERE, 8080, 8080)],
    "0:80": [(80, "tcp", HERE, 0, 0)],
    ":80": [(80, "tcp", HERE, 0, 0)],
    "::80": [(80, "tcp", HERE, 0, 0)],
    ":8080:80": [(80, "tcp", HERE, 8080, 8080)],
    "127.0.0.2:8080:80": [(80, "tcp", "127.0.0.2", 8080, 8080)],
    "0.0.0.0:8080:80": [(80, "tcp", "0.0.0.0", 8080, 8080)],
    "127.0.0.1::80": [(80, "tcp", HERE, 0, 0)],
    "10.1.2.3::80/udp": [(80, "udp", "10.1.2.3", 0, 0)],
    "[::1]:8080:80": [(80, "tcp", "::1", 8080, 8080)],
    "[::1]::80": [(80, "tcp", "::1", 0, 0)],
    "[::]:8080:80": [(80, "tcp", "::", 8080, 8080)],
    "[2001:DB8:0:0::1]:53:53/udp": [(53, "udp", "2001:db8::1", 53, 53)],
    "::1:8080:80": [(80, "tcp", "::1", 8080, 8080)],
    "80-81": [(80, "tcp", HERE, 0, 0), (81, "tcp", HERE, 0, 0)],
    "8000-8002:80-82": [(80 + n, "tcp", HERE, 8000 + n, 8000 + n) for n in range(3)],
    "[::1]:8000-8001:80-81/udp": [(80 + n, "udp", "::1", 8000 + n, 8000 + n) for n in range(2)],
    "8000-8010:80": [(80, "tcp", HERE, 8000, 8010)],
    "8000-8000:80-80": [(80, "tcp", HERE, 8000, 8000)],
    "65535:65535": [(65535, "tcp", HERE, 65535, 65535)],
    "published=8080,target=80,protocol=udp": [(80, "udp", HERE, 8080, 8080)],
    "target=80": [(80, "tcp", HERE, 0, 0)],
}

WRONG: dict[str, tuple[str, str]] = {
    "": ("port is missing", "HOST:PORT"),
    "8080:": ("port is missing", "HOST:PORT"),
    ":": ("port is missing", "HOST:PORT"),
    "web": ("no port: 'web'", "1 to 65535"),
    "80:0": ("no port: '0'", "1 to 65535"),
    "65536:80": ("no port: '65536'", "1 to 65535"),
    "80:000000080": ("no port", "1 to 65535"),
    "+80": ("no port: '+80'", "1 to 65535"),
    "-80": ("no port: ''", "1 to 65535"),
    "80-:80": ("no port: ''", "1 to 65535"),
    "80:8 0": ("no port: '8 0'", "1 to 65535"),
    "80:\u0663": ("no port", "1 to 65535"),
    "80-82-84:80": ("no port: '82-84'", "1 to 65535"),
    "8010-8000:80-90": ("backwards", "8000-8010"),
    "8000-8001:80-82": ("2 host ports for 3", "8000-8002:80-82"),
    "8080:80-81": ("1 host ports for 2", "8080-8081:80-81"),
    "0-5:80": ("starts at 1", "8080:80"),
    "127.0.0.1:80": ("host port is missing", "127.0.0.1::80"),
    "[::1]:80": ("host port is missing", "[::1]::80"),
    "localhost:8080:80": ("no IP address: 'localhost'", "127.0.0.1"),
    "256.1.1.1:80:80": ("no IP address", "127.0.0.1"),
    "127.1:80:80": ("no IP address", "127.0.0.1"),
    "8080:80:90": ("no IP address: '8080'", "8080:80"),
    "[::1:8080:80": ("no IP address", "[::1]"),
    "[]:80:80": ("brackets are empty", "[::1]"),
    "[fe80::1%eth0]:80:80": ("no IP address", "[::1]"),
    "[::ffff:1.2.3.4]:80:80": ("disguise", "1.2.3.4"),
    "80/sctp": ("sctp", "tcp and udp"),
    "80/http": ("no protocol 'http'", "/udp"),
    "80/": ("no protocol ''", "/udp"),
    "80/tcp/udp": ("no protocol", "/udp"),
    "80=90": ("no published=", "8080:80"),
    "published=80": ("target= is missing", "target=80"),
    "target=80,target=81": ("no published=", "8080:80"),
    "target=80,mode=strange": ("no mode", "8080:80"),
    "1\x002:80": ("no port", "1 to 65535"),
    "1\x00.2.3.4:80:80": ("no IP address", "8080:80"),
}


@pytest.mark.parametrize("text", RIGHT)
def test_right_forms(text: str) -> None:
    assert [tuple(each) for each in parse_publish(text)] == RIGHT[text]


@pytest.mark.parametrize("text", WRONG)
def test_wrong_forms_say_why_and_what_to_type(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_publish(text)
    why, hint = WRONG[text]
    assert why in caught.value.message and hint in (caught.value.hint or "")


@given(st.text(st.sampled_from("0123456789:.-[]/tcpud=,ftargetfe \0"), max_size=30))
def test_nothing_else_is_ever_raised(text: str) -> None:
    try:
        assert all(0 < each.port < 65536 and 0 <= each.first <= each.last < 65536 for each in parse_publish(text))
    except UsageError as error:
        assert error.hint


def test_expose() -> None:
    published = parse_publish("8080:80") + parse_publish("53:53/udp")
    assert expose(["443/tcp", "80/tcp", "53/udp", "53/tcp", "9000-9001", "443"], published) == (
        Publish(53, "tcp"), Publish(443, "tcp"), Publish(9000, "tcp"), Publish(9001, "tcp"),
    )  # fmt: skip
    assert expose([]) == ()
    with pytest.raises(UsageError, match="no port"):
        expose(["x/tcp"])


def test_format() -> None:
    assert format_bound(Bound("0.0.0.0", 8080, 80, "tcp", 5)) == "0.0.0.0:8080->80/tcp"
    assert format_bound(Bound("::1", 8080, 80, "udp")) == "[::1]:8080->80/udp"
    bounds = [Bound(HERE, 8000 + n, 80 + n, "tcp", 9 - n) for n in (2, 0, 1)]
    other = [Bound(HERE, 8005, 83, "tcp"), Bound(HERE, 8003, 83, "udp"), Bound("::1", 8003, 83, "tcp")]
    assert format_bounds(bounds + other) == (
        "127.0.0.1:8000-8002->80-82/tcp, 127.0.0.1:8005->83/tcp, [::1]:8003->83/tcp, 127.0.0.1:8003->83/udp"
    )
    assert format_bounds([]) == ""

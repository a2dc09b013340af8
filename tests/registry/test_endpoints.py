"""Names of registries: where they are reached, mirrors, proxies, certificates."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from envgit.errors import SourceError, UsageError
from envgit.registry.challenge import Challenge, parse_challenges
from envgit.registry.endpoints import Endpoint, find_endpoints, is_local
from envgit.registry.transport import ConnectionLost, NotTls, Origin, Transport, _proxy, origin_of
from tests.images.image_builder import BASE
from tests.images.reading import read
from tests.registry.fake_registry import FakeRegistry


def configure(environ: dict[str, str], text: str) -> None:
    Path(environ["CONTAINERS_REGISTRIES_CONF"]).write_text(text)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True), ("localhost:5000", True), ("127.0.0.1:5000", True), ("127.1.2.3", True), ("[::1]:5000", True),
        ("quay.io", False), ("10.0.0.1", False), ("localhost.evil.org", False), ("127.0.0.1.evil.org", False), ("[::2]", False),
    ],
)  # fmt: skip
def test_local_registries(host: str, local: bool, environ: dict[str, str]) -> None:
    assert is_local(host) is local
    assert find_endpoints(host, "a", environ) == [Endpoint(host, "a", local)]


def test_docker_hub(environ: dict[str, str]) -> None:
    assert find_endpoints("docker.io", "library/a", environ) == [Endpoint("registry-1.docker.io", "library/a", False)]


def test_registries_conf(environ: dict[str, str]) -> None:
    configure(
        environ,
        """
        unqualified-search-registries = ["docker.io"]
        [[registry]]
        prefix = "docker.io"
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.lan:5000/hub"
        insecure = true
        [[registry]]
        prefix = "docker.io/library/moved"
        location = "quay.io/me/moved"
        [[registry]]
        location = "old.lan"
        insecure = true
        [[registry]]
        prefix = "*.blocked.org"
        blocked = true
        """,
    )
    mirror, hub = find_endpoints("docker.io", "library/a", environ)
    assert mirror == Endpoint("mirror.lan:5000", "hub/library/a", True)
    assert hub == Endpoint("registry-1.docker.io", "library/a", False)
    assert find_endpoints("docker.io", "library/moved", environ) == [Endpoint("quay.io", "me/moved", False)]
    assert find_endpoints("old.lan", "x", environ) == [Endpoint("old.lan", "x", True)]
    assert find_endpoints("old.lan.org", "x", environ) == [Endpoint("old.lan.org", "x", False)]
    with pytest.raises(SourceError, match="is blocked"):
        find_endpoints("a.blocked.org", "x", environ)


@pytest.mark.parametrize("text", ["[[registry]", "[[registry]]\ninsecure = true", "\xff", "[[registry]]\nlocation = 7"])
def test_registries_conf_that_is_damaged(text: str, environ: dict[str, str]) -> None:
    Path(environ["CONTAINERS_REGISTRIES_CONF"]).write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        find_endpoints("quay.io", "a", environ)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Bearer realm="https://a/t",service="s, x",scope="repository:a/b:pull,push"',
         [("bearer", {"realm": "https://a/t", "service": "s, x", "scope": "repository:a/b:pull,push"})]),
        ('BASIC Realm=x, Bearer realm="y\\"z"', [("basic", {"realm": "x"}), ("bearer", {"realm": 'y"z'})]),
        ('Negotiate, Basic realm="a"', [("negotiate", {}), ("basic", {"realm": "a"})]),
        ("Bearer realm=https://a/t", [("bearer", {"realm": "https://a/t"})]),
        ("Bearer", [("bearer", {})]),
        ("", []),
        ("=,=,", []),
        ('Bearer realm="', [("bearer", {})]),
    ],
)  # fmt: skip
def test_challenges(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges([header]) == [Challenge(scheme, parameters) for scheme, parameters in expected]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Quay.io/v2/", ("https", "quay.io")), ("https://quay.io:443/", ("https", "quay.io")),
        ("http://a:443/", ("http", "a:443")), ("http://[::1]:5000/x", ("http", "[::1]:5000")),
    ],
)  # fmt: skip
def test_origins(url: str, origin: tuple[str, str]) -> None:
    assert origin_of(url) == Origin(*origin)


@pytest.mark.parametrize(
    "url", ["", "quay.io", "ftp://a/", "https://u:p@a/", "https://a/\r\nX: y", "https:///x", "//a/b", "https://a b/"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(SourceError):
        origin_of(url)


@pytest.mark.parametrize(
    ("url", "says", "hint"),
    [
        ("http://\u00e9/x", "'http://\u00e9/x' is no address", ""),
        ("http://" + "a" * 300 + "/x", "a" * 63 + "...' is no name of a host", "63 characters"),
        ("http://" + "a." * 130 + "b/", "is no name of a host", "253"),
        ("http://a..b/", "'a..b' is no name of a host", "63 characters"),
    ],
)
def test_hosts_that_are_none(url: str, says: str, hint: str) -> None:
    with pytest.raises(SourceError) as caught:
        Transport({}, "test").request("GET", url)
    assert says in caught.value.message and "a" * 70 not in caught.value.message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("scheme", "says"), [("http", "without an answer"), ("https", "(?:ended the connection|reset by peer|refused)")]
)
def test_a_server_that_hangs_up(scheme: str, says: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()

        def hang_up() -> None:
            stream, _ = server.accept()
            stream.recv(4096)
            stream.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        with pytest.raises(ConnectionLost, match=says) as caught:
            Transport({}, "test").request("GET", f"{scheme}://{place[0]}:{place[1]}/a%00b")
        thread.join(10)
    assert "(" not in caught.value.message and "Disconnected" not in caught.value.message


PROXY = {"https_proxy": "http://p:3128", "http_proxy": "q:80", "no_proxy": "localhost,.corp.org, 10.0.0.0/8,b.net:5000"}


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://quay.io/", "http://p:3128"), ("http://quay.io/", "http://q:80"), ("https://localhost/", ""),
        ("https://a.corp.org/", ""),
        ("https://corp.org/", "http://p:3128"), ("https://10.2.3.4/", ""), ("https://11.2.3.4/", "http://p:3128"),
        ("https://b.net:5000/", ""), ("https://b.net/", "http://p:3128"), ("https://xb.net/", "http://p:3128"),
    ],
)  # fmt: skip
def test_proxies(url: str, proxy: str) -> None:
    assert _proxy(origin_of(url), PROXY) == proxy
    assert _proxy(origin_of(url), {**PROXY, "no_proxy": "*"}) == ""


def test_proxies_that_cannot_be_used() -> None:
    assert _proxy(origin_of("http://a/"), {"HTTP_PROXY": "http://from-a-cgi-client/"}) == ""
    with pytest.raises(UsageError):
        _proxy(origin_of("https://a/"), {"all_proxy": "socks5://a:1"})


# TLS


def test_a_certificate_that_nobody_signed(
    secure: FakeRegistry, certificate: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    url = f"https://{secure.host}/v2/"
    with pytest.raises(NotTls) as caught:
        Transport(environ, "test").request("GET", url)
    assert "cannot be trusted" in caught.value.message and "certs.d" in (caught.value.hint or "")
    assert Transport(environ, "test").request("GET", url, insecure=True).status == 200
    folder = tmp_path / "home/.config/containers/certs.d" / secure.host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes((certificate / "crt").read_bytes())
    assert Transport(environ, "test").request("GET", url).status == 200
    (folder / "ca.crt").write_text("no certificate")
    with pytest.raises(UsageError, match="cannot use the certificate"):
        Transport(environ, "test").request("GET", url)


def test_a_local_registry_may_sign_its_own(secure: FakeRegistry, environ: dict[str, str]) -> None:
    assert read(secure.tag("a:1", secure.builder.image(BASE)), environ).text


def test_tls_where_there_is_none(fake: FakeRegistry, environ: dict[str, str]) -> None:
    with pytest.raises((NotTls, ConnectionLost)):
        Transport(environ, "test").request("GET", f"https://{fake.host}/v2/")
    assert not fake.asked


def test_a_proxy_is_asked_instead_of_the_host(fake: FakeRegistry, environ: dict[str, str]) -> None:
    transport = Transport({**environ, "http_proxy": f"http://me:secret@{fake.host}"}, "test")
    answer = transport.request("GET", "http://registry.invalid/v2/")
    assert answer.read_small(100) is not None
    (asked,) = fake.asked
    assert asked.headers["host"] == "registry.invalid"
    assert asked.headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"
    with pytest.raises(ConnectionLost) as caught:
        Transport({**environ, "no_proxy": "*", **PROXY}, "test").request("GET", "http://registry.invalid/v2/")
    assert "secret" not in caught.value.message

"""HTTP for the registry client: one request, one answer. The only file that knows urllib3.

Redirects are never followed here and nothing is retried: the callers decide, because credentials are theirs.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Iterable, Mapping
from http.client import RemoteDisconnected
from typing import Final, NamedTuple

import urllib3
from urllib3.exceptions import HTTPError, InsecureRequestWarning, SSLError

from envgit.errors import SourceError, UsageError

_TIMEOUT: Final = urllib3.Timeout(connect=20, read=60)
_SCHEMES: Final = ("http", "https")
_LABEL_MAX: Final = 63
_KEPT_CONNECTIONS: Final = 4
"""A push sends several blobs at once."""


class ConnectionLost(SourceError):
    """The other side did not answer, or stopped in the middle: worth another try."""


class NotTls(SourceError):
    """The other side answers, but not with TLS that can be trusted."""


class Origin(NamedTuple):
    """What credentials belong to."""

    scheme: str
    host: str
    """Lower case; with its port if that is not the scheme's own."""


class Answer:
    """An answer whose body was not read yet. `close` it, or read it to its end."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str) -> None:
        self._response = response
        self.url = url
        self.status = response.status

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "")

    def challenges(self) -> list[str]:
        return list(self._response.headers.getlist("WWW-Authenticate"))

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end. Raises ConnectionLost when the connection breaks."""
        try:
            return self._response.read(size)
        except (HTTPError, OSError) as error:
            raise ConnectionLost(
                f"the connection to {host_of(self.url)} broke: {_reason(error)}", hint="try again; check the network"
            ) from error

    def read_small(self, most: int) -> bytes | None:
        """Return the whole body and close; None if it has more than `most` bytes."""
        parts: list[bytes] = []
        size = 0
        try:
            while data := self.read(64 * 1024):
                parts.append(data)
                size += len(data)
                if size > most:
                    return None
            return b"".join(parts)
        finally:
            self.close()

    def close(self) -> None:
        self._response.close()


class Transport:
    """Connections, kept open between requests. `environ`: HOME and the variables for proxies."""

    def __init__(self, environ: Mapping[str, str], agent: str) -> None:
        self._environ = environ
        self._agent = agent
        self._pools: dict[tuple[str, str, bool], urllib3.PoolManager] = {}
        # Who may be insecure was decided before; a warning of Python's would only garble the terminal.
        urllib3.disable_warnings(InsecureRequestWarning)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        *,
        insecure: bool = False,
    ) -> Answer:
        """Send one request; `insecure`: take any certificate. Raises ConnectionLost, NotTls, and SourceError for a URL that
        is none."""
        origin = origin_of(url)
        pool = self._pool(origin, insecure)
        sent = {"User-Agent": self._agent, "Accept-Encoding": "identity", **(headers or {})}
        try:
            response = pool.request(
                method, url, headers=sent, body=body, redirect=False, retries=False, timeout=_TIMEOUT,
                preload_content=False, decode_content=False,
            )  # fmt: skip
        except SSLError as error:
            if any(isinstance(part, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) for part in error.args):
                raise ConnectionLost(f"{origin.host} ended the connection", hint="try again") from error
            raise NotTls(
                f"{origin.host} cannot be trusted: {_reason(error)}",
                hint=f"put its authority's certificate into /etc/containers/certs.d/{origin.host}/ca.crt",
            ) from error
        except (HTTPError, OSError, UnicodeError, ValueError) as error:
            raise ConnectionLost(
                f"cannot reach {origin.host}: {_reason(error)}", hint="check the name, the network and the proxy"
            ) from error
        return Answer(response, url)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.clear()
        self._pools.clear()

    def _pool(self, origin: Origin, insecure: bool) -> urllib3.PoolManager:
        key = (origin.scheme, origin.host, insecure)
        if key not in self._pools:
            context = _tls(origin.host, self._environ, insecure) if origin.scheme == "https" else None
            proxy = _proxy(origin, self._environ)
            if proxy:
                user = urllib3.util.parse_url(proxy).auth
                hidden = urllib3.make_headers(proxy_basic_auth=user) if user else {}
                self._pools[key] = urllib3.ProxyManager(proxy, proxy_headers=hidden, ssl_context=context)
            else:
                self._pools[key] = urllib3.PoolManager(ssl_context=context, maxsize=_KEPT_CONNECTIONS)
        return self._pools[key]


def origin_of(url: str) -> Origin:
    """Return scheme and host. Raises SourceError for what is no plain http or https URL."""
    try:
        parsed = urllib3.util.parse_url(url)
    except (HTTPError, ValueError):
        parsed = urllib3.util.Url()
    if parsed.scheme not in _SCHEMES or not parsed.host or parsed.auth or not url.isprintable() or " " in url:
        shown = url[:200].encode("utf-8", "backslashreplace").decode("utf-8")
        raise SourceError(f"'{shown}' is no address that can be fetched", hint=_hint(url))
    if not _is_name(parsed.host):
        shown = parsed.host if len(parsed.host) <= _LABEL_MAX else parsed.host[:_LABEL_MAX] + "..."
        raise SourceError(
            f"'{shown}' is no name of a host", hint="its parts have 1 to 63 characters each, and all of it up to 253"
        )
    default = 443 if parsed.scheme == "https" else 80
    port = f":{parsed.port}" if parsed.port and parsed.port != default else ""
    return Origin(parsed.scheme, parsed.host.lower() + port)


def _hint(url: str) -> str:
    host = url.partition("://")[2].partition("/")[0]
    if url.isprintable() and not host.isascii():
        return "write the host as DNS has it, in ASCII: xn--..."
    return "only http and https are followed"


def _is_name(host: str) -> bool:
    """Say whether a host is an address, or has the lengths that names in DNS may have."""
    labels = host.removesuffix(".").split(".")
    return host.startswith("[") or (len(host) <= 254 and all(0 < len(label) <= _LABEL_MAX for label in labels))


def host_of(url: str) -> str:
    return origin_of(url).host


def join(url: str, location: str) -> str:
    """Return the absolute form of a Location or Link header."""
    from urllib.parse import urljoin

    return urljoin(url, location)


def _tls(host: str, environ: Mapping[str, str], insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    home = environ.get("HOME", "")
    user = (environ.get("XDG_CONFIG_HOME") or (home + "/.config" if home else "")) + "/containers/certs.d"
    for folder in (user, "/etc/containers/certs.d", "/etc/docker/certs.d"):
        _load_certificates(context, os.path.join(folder, host))
    return context


def _load_certificates(context: ssl.SSLContext, folder: str) -> None:
    """Take NAME.crt for an authority, NAME.cert with NAME.key for the client's own, as docker and podman do."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name)
        try:
            if name.endswith(".crt"):
                context.load_verify_locations(path)
            elif name.endswith(".cert"):
                context.load_cert_chain(path, path.removesuffix(".cert") + ".key")
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"cannot use the certificate {path}: {error.strerror or error}", hint="replace it, or remove it"
            ) from error


def _proxy(origin: Origin, environ: Mapping[str, str]) -> str:
    """Return the proxy's URL, or "". HTTP_PROXY in capitals is not taken: CGI programs get it from their clients."""
    names = ("https_proxy", "HTTPS_PROXY") if origin.scheme == "https" else ("http_proxy",)
    proxy = next((environ[name] for name in (*names, "all_proxy", "ALL_PROXY") if environ.get(name)), "")
    excluded = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not proxy or _is_excluded(origin.host, excluded):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urllib3.util.parse_url(proxy).scheme not in _SCHEMES:
        raise UsageError(
            f"the proxy {ascii(proxy)} is not http or https", hint="change https_proxy, or add the host to no_proxy"
        )
    return proxy


def _is_excluded(host: str, excluded: str) -> bool:
    """Say whether no_proxy names the host: itself, a domain above it, a network, or `*`."""
    name = host.rpartition("]")[0].lstrip("[") or host.partition(":")[0]
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        address = None
    for item in excluded.lower().split(","):
        item = item.strip()
        if item in ("*", host, name) or (item.strip(".") and name.endswith("." + item.lstrip("."))):
            return True
        try:
            if address is not None and address in ipaddress.ip_network(item, strict=False):
                return True
        except ValueError:
            pass
    return False


def _reason(error: BaseException) -> str:
    """Return the innermost message that says something."""
    seen: BaseException | None = error
    text = ""
    while seen is not None:
        if isinstance(seen, RemoteDisconnected):
            return "it ended the connection without an answer"
        inner = getattr(seen, "reason", None)
        if not isinstance(inner, BaseException):  # urllib3 has what happened among the arguments of its ProtocolError
            inner = next((part for part in seen.args if isinstance(part, BaseException)), seen.__cause__)
        strerror = getattr(seen, "strerror", None)
        text = str(strerror or getattr(seen, "verify_message", None) or seen) or text
        seen = inner
    return text.rpartition(": ")[2] or type(error).__name__

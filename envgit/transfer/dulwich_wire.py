"""dulwich's clients for ssh and http, with limits: on silence, on what comes beside a pack, on where requests may go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import urllib3
from dulwich.client import (
    TraditionalGitClient,
    Urllib3HttpGitClient,
    default_urllib3_manager,
)
from dulwich.config import StackedConfig
from dulwich.errors import GitProtocolError
from dulwich.protocol import Protocol as PacketProtocol
from urllib3.exceptions import MaxRetryError, ProtocolError

from envgit.transfer.address import Address
from envgit.transfer.errors import ProtocolViolation
from envgit.transfer.ssh_connection import SshConnection

MOST_TALK_BYTES: Final = 256 * 1024 * 1024
"""Of everything in one exchange that is not a pack."""
_MOST_REDIRECTS: Final = 5
_PORTS: Final = {"http": 80, "https": 443}


class TalkMeter:
    """Counts what is read; the pack is taken off again."""

    def __init__(self) -> None:
        self._bytes = 0

    def counted(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        def read_and_count(size: int) -> bytes:
            data = read(size)
            self._bytes += len(data)
            if self._bytes > MOST_TALK_BYTES:
                raise ProtocolViolation("the other side talks without end", hint="check the address")
            return data

        return read_and_count

    def forgive(self, amount: int) -> None:
        """`amount` of it was the pack."""
        self._bytes -= amount


class SshWire(TraditionalGitClient):
    """git's protocol over ssh. `connection`: the last one that was opened."""

    def __init__(
        self, address: Address, environ: Mapping[str, str], command: str, meter: TalkMeter, silent_seconds: float
    ) -> None:
        super().__init__(thin_packs=False)
        self._address = address
        self._environ = environ
        self._command = command
        self._meter = meter
        self._silent_seconds = silent_seconds
        self.connection: SshConnection | None = None

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[PacketProtocol, Callable[[], bool], None]:
        version = 2 if cmd == b"upload-pack" and protocol_version in (None, 2) else 0
        self.close()
        self.connection = SshConnection(
            self._address, f"git-{cmd.decode()}", self._environ, self._command, self._silent_seconds, version
        )
        packets = PacketProtocol(self._meter.counted(self.connection.read), self.connection.write, None)
        return packets, lambda: False, None

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


class HttpWire(Urllib3HttpGitClient):
    """git's smart protocol over http. The dumb one is not spoken, and nothing but the two services is asked for."""

    def __init__(
        self,
        address: Address,
        environ: Mapping[str, str],
        config: StackedConfig,
        meter: TalkMeter,
        silent_seconds: float,
    ) -> None:
        parts = urlsplit(address.url)
        place = parts.netloc.rpartition("@")[2]
        base = f"{parts.scheme}://{place}{parts.path}"
        user, password = _credentials(address, environ)
        manager = default_urllib3_manager(
            config,
            base_url=base,
            timeout=silent_seconds,
            cert_reqs="CERT_NONE" if environ.get("GIT_SSL_NO_VERIFY") else None,
        )
        if environ.get("GIT_SSL_CAINFO"):
            manager.connection_pool_kw["ca_certs"] = environ["GIT_SSL_CAINFO"]
        manager.connection_pool_kw["retries"] = urllib3.Retry(
            _MOST_REDIRECTS, redirect=_MOST_REDIRECTS, connect=0, read=0, status=0, other=0
        )
        self._meter = meter
        self._responses: list[Any] = []
        super().__init__(
            base,
            pool_manager=manager,
            config=config,
            username=user,
            password=password,
            timeout=silent_seconds,
            thin_packs=False,
        )

    def _http_request(
        self, url: str, headers: dict[str, str] | None = None, data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Callable[[int], bytes]]:  # fmt: skip
        service = urlsplit(url)
        if data is None and not (service.path.endswith("/info/refs") and service.query.startswith("service=git-")):
            raise ProtocolViolation("the server sends us elsewhere for its objects", hint="sudo apt install git")
        try:
            response, read = super()._http_request(url, headers, data, raise_for_status)
        except GitProtocolError as error:
            reads = data is None or (isinstance(data, bytes) and service.path.endswith("/git-upload-pack"))
            if not reads or not _was_cut(error):
                raise
            response, read = super()._http_request(url, headers, data, raise_for_status)  # which does no harm
        self._responses.append(response)
        return response, self._meter.counted(read)

    def _discover_references(self, *words: Any, **options: Any) -> Any:
        found = super()._discover_references(*words, **options)
        if self.dumb:
            raise ProtocolViolation(
                "the server speaks only the dumb protocol of plain files",
                hint="sudo apt install git, which can read it",
            )
        return found

    def close(self) -> None:
        for response in self._responses:
            response.close()
        self.pool_manager.clear()


def _was_cut(error: GitProtocolError) -> bool:
    """Say whether a connection ended without an answer: not that there was none to be had, nor that one was late."""
    cause = error.__cause__
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    return isinstance(reason, ProtocolError)


def _credentials(address: Address, environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """User and password of the address, else of git's credential store (~/.git-credentials)."""
    parts = urlsplit(address.url)
    user = unquote(parts.username) if parts.username is not None else None
    if parts.password is not None:
        return user, unquote(parts.password)
    home = environ.get("HOME", "")
    files = [(environ.get("XDG_CONFIG_HOME") or home + "/.config") + "/git/credentials", home + "/.git-credentials"]
    for name, secret in _stored(parts, files):
        if user in (None, name):
            return name, secret
    return user, None


def _stored(asked: SplitResult, files: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the users and passwords that the files have for this scheme, host and port (git-credential-store(1))."""
    for path in files:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                lines = file.read().splitlines()
        except OSError:
            continue
        for line in lines:
            try:
                entry = urlsplit(line.strip())
                is_it = _place(entry) == _place(asked)
            except ValueError:  # no URL, or no port
                continue
            if is_it and entry.username and entry.password:
                yield unquote(entry.username), unquote(entry.password)


def _place(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)

"""Files that ADD names by URL, fetched once and kept in the repository's folder; disposable."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from json import JSONDecodeError, dumps, loads
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from envgit.errors import HostileInput, SourceError, UsageError
from envgit.monitor import Monitor
from envgit.store import storage

if TYPE_CHECKING:
    from envgit.registry.transport import Answer, Transport

_REDIRECTS = 10
_PIECE_BYTES = 1024 * 1024
_ATTEMPTS = 3
_ALGORITHMS = {"sha256": 64, "sha384": 96, "sha512": 128}
_GIT = ("git://", "git@", "ssh://", "github.com/")
_MOVED = (301, 302, 303, 307, 308)


class Download(NamedTuple):
    """A fetched file at `path` (read-only: it is kept). `name`: the last part of the URL's path, b"" without one."""

    path: str
    name: bytes
    size: int
    sha256: bytes
    mtime_ns: int | None
    """What the server said it was changed last."""


class Downloads(NamedTuple):
    """`folder`: where fetched files are kept (`repo.path("build", "downloads")`). `environ`: for proxies."""

    folder: str
    environ: Mapping[str, str]
    monitor: Monitor

    def fetch(self, url: str, checksum: str = "") -> Download:
        """Return the file at an http(s) URL; asks the server whether what is kept is current, or nobody when it has `checksum`.

        Raises UsageError (no such kind of URL or checksum), SourceError (not to be had), HostileInput (another checksum).
        """
        parts = _parse(url)
        algorithm, expected = _parse_checksum(checksum)
        known = self._find(url)
        if known is None or not expected or known.get(algorithm) != expected:
            known = self._ask(url, known, bool(expected))
        if expected and self._sum(known, algorithm) != expected:
            raise HostileInput(
                f"{url} has the checksum {algorithm}:{self._sum(known, algorithm)}, not {checksum}",
                hint="if the file was meant to change, write its new checksum",
            )
        if expected and known.get(algorithm) != expected:
            known = {**known, algorithm: expected}
            self._keep(url, known)
        return Download(
            self._content(known["sha256"]),
            _file_name(parts.path),
            int(known["size"]),
            bytes.fromhex(known["sha256"]),
            _parse_time(known.get("last_modified", "")),
        )

    # the folder

    def _record(self, url: str) -> str:
        return os.path.join(self.folder, hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest() + ".json")

    def _content(self, sha256: str) -> str:
        return os.path.join(self.folder, sha256)

    def _find(self, url: str) -> dict[str, str] | None:
        """Return what is kept of a URL, if the file is still there and whole in size."""
        try:
            with open(self._record(url), "rb") as file:
                found = loads(file.read())
            if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
                return None
            if len(bytes.fromhex(found["sha256"])) != 32 or found["url"] != url:
                return None
            return found if os.stat(self._content(found["sha256"])).st_size == int(found["size"]) else None
        except (OSError, JSONDecodeError, UnicodeDecodeError, KeyError, ValueError):
            return None

    def _keep(self, url: str, known: Mapping[str, str]) -> None:
        record = dumps(known, sort_keys=True).encode()
        storage.write_file(self._record(url), record, step="build-download", durable=False)

    def _sum(self, known: Mapping[str, str], algorithm: str) -> str:
        if algorithm == "sha256":
            return known["sha256"]
        with open(self._content(known["sha256"]), "rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()

    # the network

    def _ask(self, url: str, known: dict[str, str] | None, has_checksum: bool) -> dict[str, str]:
        """Fetch the file, or find that what is kept is current; tries again when the connection breaks."""
        from envgit.registry.transport import ConnectionLost, Transport

        transport = Transport(self.environ, "envgit")
        try:
            for _ in range(_ATTEMPTS - 1):
                with suppress(ConnectionLost):
                    return self._ask_once(transport, url, known, has_checksum)
            return self._ask_once(transport, url, known, has_checksum)
        finally:
            transport.close()

    def _ask_once(
        self, transport: Transport, url: str, known: dict[str, str] | None, has_checksum: bool
    ) -> dict[str, str]:
        headers = {}
        if known is not None and known.get("etag"):
            headers["If-None-Match"] = known["etag"]
        if known is not None and known.get("last_modified"):
            headers["If-Modified-Since"] = known["last_modified"]
        place = url
        for _ in range(_REDIRECTS):
            answer = transport.request("GET", place, headers)
            try:
                if answer.status in _MOVED and answer.header("Location"):
                    place = _redirected(place, answer.header("Location"), has_checksum)
                elif answer.status == 304 and known is not None:
                    return known
                elif answer.status == 200:
                    return self._receive(url, answer)
                else:
                    raise SourceError(
                        f"{url} cannot be fetched: the server answered {answer.status}", hint="check the URL"
                    )
            finally:
                answer.close()
        raise SourceError(f"{url} cannot be fetched: more than {_REDIRECTS} redirects")

    def _receive(self, url: str, answer: Answer) -> dict[str, str]:
        digest, size = hashlib.sha256(), 0
        length = answer.header("Content-Length")
        self.monitor.start(f"fetching {url}", int(length) if length.isdigit() else None, "bytes")
        storage.make_directory(self.folder, step="build-download", parents=True)
        name = storage.temporary_name(self.folder)
        fd = storage.open_new(name, step="build-download")
        try:
            while piece := answer.read(_PIECE_BYTES):
                storage.write_all(fd, piece, step="build-download-write", path=name)
                digest.update(piece)
                size += len(piece)
                self.monitor.advance(len(piece))
            storage.rename(name, self._content(digest.hexdigest()), step="build-download-rename")
        except BaseException:
            storage.discard(name)
            raise
        finally:
            os.close(fd)
        known = {
            "url": url,
            "sha256": digest.hexdigest(),
            "size": str(size),
            "etag": answer.header("ETag"),
            "last_modified": answer.header("Last-Modified"),
        }
        self._keep(url, known)
        self.monitor.finish()
        return known


def is_url(text: str) -> bool:
    """Say whether a source of ADD is something to fetch rather than a path of the context."""
    return text.startswith(("http://", "https://")) or is_git(text)


def is_git(text: str) -> bool:
    """Say whether docker would take a source for a git repository."""
    if text.startswith(_GIT):
        return True
    return text.startswith(("http://", "https://")) and text.partition("#")[0].partition("?")[0].endswith(".git")


def _parse(url: str) -> SplitResult:
    if is_git(url):
        raise UsageError(
            f"ADD of a git repository is not supported: {url}",
            hint="clone it into the context and COPY it, or clone it in a RUN step",
        )
    try:
        parts = urlsplit(url)
        valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"{url} is not a URL that can be fetched", hint="http://HOST/PATH or https://HOST/PATH")
    if parts.username or parts.password:
        raise UsageError(
            f"the URL for {parts.hostname} has a password in it, which the history would keep",
            hint="fetch it in a RUN step with --mount=type=secret",
        )
    return parts


def _file_name(path: str) -> bytes:
    name = unquote(path).rpartition("/")[2].encode("utf-8", "surrogateescape")
    return b"" if name in (b".", b"..") or b"\0" in name else name


def _parse_checksum(text: str) -> tuple[str, str]:
    if not text:
        return "", ""
    algorithm, _, digest = text.partition(":")
    digest = digest.lower()
    if len(digest) != _ALGORITHMS.get(algorithm) or not set(digest) <= set("0123456789abcdef"):
        raise UsageError(
            f"{text!r} is not a checksum", hint="sha256: and 64 hexadecimal digits, as sha256sum prints them"
        )
    return algorithm, digest


def _redirected(place: str, location: str, has_checksum: bool) -> str:
    target = urljoin(place, location)
    scheme = urlsplit(target).scheme
    if scheme not in ("http", "https"):
        raise SourceError(f"{place} redirects to {scheme}:, which is no web address")
    if scheme == "http" and place.startswith("https:") and not has_checksum:
        raise SourceError(
            f"{place} redirects to an address that is not encrypted: {target}", hint="name the checksum of the file"
        )
    return target


def _parse_time(text: str) -> int | None:
    """Return a date of HTTP in nanoseconds; None for anything else."""
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
        return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * 1_000_000_000
    except (ValueError, TypeError, IndexError, OverflowError):
        return None

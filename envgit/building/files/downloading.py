"""Files that ADD names by URL, fetched once and kept in the repository's folder; disposable."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from json import JSONDecodeError, dumps, loads
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from envgit.building.files.kept_file import open_kept, read_kept
from envgit.errors import HostileInput, SourceError, StorageError, UsageError
from envgit.monitor import Monitor
from envgit.store import storage

if TYPE_CHECKING:
    from envgit.registry.transport import Answer, Transport

_REDIRECTS = 10
_PIECE_BYTES = 1024 * 1024
_RECORD_MOST_BYTES = 64 * 1024
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
        self._keep(url, {**known, algorithm: expected} if expected else known)  # its age says when it was used last
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
        """Return what is kept of a URL, if the file is still there and whole; what else is there counts as absent."""
        try:
            found = loads(read_kept(self._record(url), _RECORD_MOST_BYTES))
            if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
                return None
            if len(bytes.fromhex(found["sha256"])) != 32 or found["url"] != url:
                return None
            return found if self._is_whole(url, found) else None
        except (OSError, JSONDecodeError, UnicodeDecodeError, KeyError, ValueError, RecursionError):
            return None

    def _is_whole(self, url: str, known: dict[str, str]) -> bool:
        """Say whether the file is what was fetched; it is read only when its inode or times are not those of the last look."""
        fd = open_kept(self._content(known["sha256"]))
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(fd)
            if status.st_size != int(known["size"]):
                return False
            if known.get("state") != _state(status):
                if hashlib.file_digest(file, "sha256").hexdigest() != known["sha256"]:
                    return False
                known["state"] = _state(status)
                self._keep(url, known)
        return True

    def _keep(self, url: str, known: Mapping[str, str]) -> None:
        """Write the record; what cannot be written is only fetched again."""
        record = dumps(known, sort_keys=True).encode()
        with suppress(StorageError):
            storage.write_file(self._record(url), record, step="build-download", durable=False)

    def _put(self, temporary: str, sha256: str) -> None:
        """Move a file into its place; a folder there, which nothing can replace, goes aside."""
        place = self._content(sha256)
        with suppress(OSError, StorageError):
            if stat.S_ISDIR(os.lstat(place).st_mode):
                storage.rename(place, storage.temporary_name(self.folder), step="build-download-aside")
        storage.rename(temporary, place, step="build-download-rename")

    def _sum(self, known: Mapping[str, str], algorithm: str) -> str:
        if algorithm == "sha256":
            return known["sha256"]
        place = self._content(known["sha256"])
        try:
            with os.fdopen(open_kept(place), "rb") as file:
                return hashlib.file_digest(file, algorithm).hexdigest()
        except OSError as error:
            raise StorageError(f"{place} cannot be read: {error.strerror}", hint="check its folder") from error

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
        name, fd = storage.temporary_name(self.folder), -1
        with suppress(StorageError):  # a plan wants the digest only; a build says that the file is not there
            storage.make_directory(self.folder, step="build-download", parents=True)
            fd = storage.open_new(name, step="build-download")
        state = ""
        try:
            while piece := answer.read(_PIECE_BYTES):
                if fd >= 0:
                    storage.write_all(fd, piece, step="build-download-write", path=name)
                digest.update(piece)
                size += len(piece)
                self.monitor.advance(len(piece))
            if fd >= 0:
                self._put(name, digest.hexdigest())
                state = _state(os.fstat(fd))
        except BaseException:
            storage.discard(name)
            raise
        finally:
            if fd >= 0:
                os.close(fd)
        known = {
            "url": url,
            "sha256": digest.hexdigest(),
            "size": str(size),
            "etag": answer.header("ETag"),
            "last_modified": answer.header("Last-Modified"),
            "state": state,
        }
        self._keep(url, known)
        self.monitor.finish()
        return known


def prune_downloads(folder: str, before: float) -> None:
    """Remove what was used last before a time (in seconds): records, then the files that no record names any more."""
    try:
        with os.scandir(folder) as found:
            ages = {item.name: item.stat(follow_symlinks=False).st_mtime for item in found}
    except OSError:
        return
    used = set()
    for name in ages:
        if name.endswith(".json") and ages[name] >= before:
            with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                used.add(loads(read_kept(os.path.join(folder, name), _RECORD_MOST_BYTES))["sha256"])
    for name, seconds in ages.items():
        if name not in used and seconds < before:
            with suppress(StorageError):
                storage.unlink(os.path.join(folder, name), step="build-download-remove")


def is_url(text: str) -> bool:
    """Say whether a source of ADD is something to fetch rather than a path of the context."""
    return text.startswith(("http://", "https://")) or is_git(text)


def is_git(text: str) -> bool:
    """Say whether docker would take a source for a git repository."""
    if text.startswith(_GIT):
        return True
    return text.startswith(("http://", "https://")) and text.partition("#")[0].partition("?")[0].endswith(".git")


def _state(status: os.stat_result) -> str:
    return f"{status.st_dev} {status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns}"


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

"""Images in a registry, as an ImageStore."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeVar

from envgit import __version__
from envgit.errors import SourceError, UsageError
from envgit.images.documents import INDEX_TYPES, MANIFEST_TYPES, Descriptor
from envgit.images.stores import Found
from envgit.images.verified import VerifiedStream, digest_of
from envgit.layers.sources.image_source import ImageSource, is_digest
from envgit.monitor import Monitor
from envgit.registry.client import RegistryClient
from envgit.registry.credentials import Credentials, find_credentials
from envgit.registry.endpoints import find_endpoints
from envgit.registry.kept_blob import KeptBlob, remove_kept
from envgit.registry.transport import Transport

_Answer = TypeVar("_Answer")
_KEPT_FROM_BYTES: Final = 1024 * 1024
"""Less than this is fetched again sooner than a file is kept of it."""
_ACCEPT: Final = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))


class RemoteImages:
    """One repository of one registry. The first endpoint (mirror) that has the image serves all of it."""

    def __init__(self, source: ImageSource, environ: Mapping[str, str], monitor: Monitor, downloads: str = "") -> None:
        """`downloads`: a folder in which an interrupted download is kept for the next command; "" keeps none."""
        self._source = source
        self._downloads = downloads
        self._kept: list[str] = []
        self._monitor = monitor
        host, _, path = source.path.partition("/")
        self._transport = Transport(environ, f"envgit/{__version__}")
        self._environ = environ
        self._clients: list[RegistryClient] = []
        endpoints = find_endpoints(host, path, environ)
        for endpoint in endpoints:
            # A mirror is somebody else: it gets its own credentials or none.
            name = (host, path) if endpoint is endpoints[-1] else (endpoint.host, endpoint.path)
            find = partial(self._credentials, *name)
            self._clients.append(RegistryClient(endpoint, find, self._transport, note=monitor.note))
        self._client = self._clients[-1]

    def find(self) -> Found:
        """Fetch the document that the reference names. Raises SourceError."""
        source = self._source
        document = self._first(lambda client: client.fetch_manifest(source.digest or source.tag, _ACCEPT))
        digest = digest_of(document.data)
        if source.digest:
            digest = digest_of(document.data, source.digest.partition(":")[0])
        expected = source.digest or document.digest
        if is_digest(expected) and digest != expected and expected.partition(":")[0] == digest.partition(":")[0]:
            raise SourceError(
                f"the manifest of {source.path} is damaged: its digest is {digest}, not {expected}",
                hint="try again; if it stays so, ask who runs the registry",
            )
        return Found(document.data, digest, document.media_type)

    def resolve(self) -> str:
        """Return the digest that the reference names now."""
        if self._source.digest:
            return self._source.digest
        digest = self._first(lambda client: client.head_manifest(self._source.tag, _ACCEPT))
        return digest if is_digest(digest) else self.find().digest

    def read_manifest(self, descriptor: Descriptor) -> bytes:
        what = f"the manifest {descriptor.digest} of {self._source.path}"
        document = self._client.fetch_manifest(descriptor.digest, descriptor.media_type)
        actual = digest_of(document.data, descriptor.digest.partition(":")[0])
        if actual != descriptor.digest or len(document.data) != descriptor.size:
            raise SourceError(f"{what} is damaged: its digest is {actual}", hint="ask who runs the registry")
        return document.data

    def open_blob(self, descriptor: Descriptor, what: str) -> VerifiedStream:
        client, digest, size = self._client, descriptor.digest, descriptor.size
        if not self._downloads or size < _KEPT_FROM_BYTES:
            return VerifiedStream(client.open_blob(digest, size), what, digest, size)
        path = os.path.join(self._downloads, "blob-" + digest.replace(":", "-"))
        self._kept.append(path)
        kept = KeptBlob(path, size, lambda start: client.open_blob(digest, size, start))
        return VerifiedStream(kept, what, digest, size, kept.forget)

    def forget_downloads(self) -> None:
        while self._kept:
            remove_kept(self._kept.pop())

    def close(self) -> None:
        self._transport.close()

    def _credentials(self, host: str, path: str) -> Credentials | None:
        """Return what is found; a keychain that cannot be opened does not keep anybody from public images."""
        try:
            return find_credentials(host, path, self._environ)
        except UsageError as error:
            self._monitor.note(f"{error.message}: asking {host} without credentials")
            return None

    def _first(self, ask: Callable[[RegistryClient], _Answer]) -> _Answer:
        """Return what the first endpoint says that knows the image, and stay with it."""
        for client in self._clients[:-1]:
            try:
                answer = ask(client)
            except SourceError as error:
                self._monitor.note(f"mirror {client.name}: {error.message}")
                continue
            self._client = client
            return answer
        self._client = self._clients[-1]
        return ask(self._client)

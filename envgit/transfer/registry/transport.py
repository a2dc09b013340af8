"""A history in a registry as a Transport, for reading: clone, fetch and pull know no difference."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256

from envgit.errors import SourceError, UsageError
from envgit.monitor import Monitor
from envgit.registry.uploading import Uploader
from envgit.store import storage
from envgit.store.history import iter_commits
from envgit.store.object_store import ObjectStore
from envgit.store.refs import RefStore
from envgit.transfer.address import Address
from envgit.transfer.errors import NoSuchRepository
from envgit.transfer.registry.artifact import History, StoredBundle
from envgit.transfer.registry.finding import find_history, open_repository, parse_reference
from envgit.transfer.transport import Advertised, Fetched, RefOutcome, RefUpdate, open_transport

_READ_BYTES = 1024 * 1024


def registry_address(text: str) -> Address:
    """Return `docker://NAME` as an address. Raises UsageError."""
    name = parse_reference(text)
    return Address("registry", text, name.path, name.host)


class RegistryTransport:
    """The history beside one image."""

    def __init__(self, git_dir: str, address: Address, environ: Mapping[str, str], monitor: Monitor) -> None:
        self._git_dir = git_dir
        self._url = address.url
        self._environ = environ
        self._monitor = monitor
        self._name = parse_reference(address.url)
        self._registry: Uploader | None = None
        self._history: History | None = None

    def list_refs(self) -> Advertised:
        history = self._read()
        return Advertised(dict(history.refs), {}, history.head)

    def fetch(self, wants: Mapping[str, bytes], quarantine_git_dir: str, *, depth: int | None = None) -> Fetched:
        if depth is not None:
            raise UsageError("a registry keeps a history as a whole: it has no depth", hint="leave --depth out")
        received = objects = 0
        bundles = [bundle for bundle in self._read().bundles if not self._has(bundle)]
        self._monitor.start("receiving history", sum(bundle.size for bundle in bundles), "bytes")
        paths = [
            self._download(bundle, f"{quarantine_git_dir}/bundle-{number}") for number, bundle in enumerate(bundles)
        ]
        self._monitor.finish()
        for number, path in enumerate(paths):
            part = self._unpack(path, quarantine_git_dir, number)
            received += os.stat(path).st_size
            objects += part.objects
            storage.unlink(path, step="history-download-remove")
        return Fetched(received, objects)

    def push(
        self, updates: Sequence[RefUpdate], *, atomic: bool = False, options: Sequence[str] = ()
    ) -> tuple[RefOutcome, ...]:
        raise UsageError("a registry takes a history beside an image", hint=f"envgit push --history HEAD {self._url}")

    def close(self) -> None:
        if self._registry is not None:
            self._registry.close()
            self._registry = None

    def _open(self) -> Uploader:
        if self._registry is None:
            self._registry = open_repository(self._name, self._environ, self._monitor)
        return self._registry

    def _read(self) -> History:
        if self._history is None:
            found = find_history(self._open(), self._name, self._monitor)
            if found is None:
                self._open().require_manifest(self._name.digest or self._name.tag)
                raise NoSuchRepository(
                    f"{self._url} has no history beside it",
                    hint=f"take the image alone: envgit init DIR --from {self._url}; a history is stored by envgit push --history",
                )
            self._history = found.history
        return self._history

    def _has(self, bundle: StoredBundle) -> bool:
        """Say whether everything up to the bundle's tips is here, and stays: a ref reaches it."""
        objects = ObjectStore(self._git_dir)
        if not bundle.tips or not all(objects.contains(oid) for oid in bundle.tips):
            return False
        tips = {oid for _, oid in RefStore(self._git_dir).iter_refs()}
        missing = set(bundle.tips) - tips
        if not missing:
            return True
        commits = [oid for oid in tips if objects.read(oid)[0] == "commit"]
        for oid in iter_commits(objects, commits):
            missing.discard(oid)
            if not missing:
                return True
        return False

    def _download(self, bundle: StoredBundle, path: str) -> str:
        digest = sha256()
        stream = self._open().get_blob(bundle.digest, bundle.size)
        fd = storage.open_new(path, step="history-download", mode=0o600)
        try:
            got = 0
            while data := stream.read(_READ_BYTES):
                got += len(data)
                if got > bundle.size:
                    raise SourceError(f"{bundle.digest} is larger than was said", hint="ask who runs the registry")
                digest.update(data)
                storage.write_all(fd, data, step="history-write", path=path)
                self._monitor.advance(len(data))
        finally:
            stream.close()
            os.close(fd)
        if got != bundle.size or f"sha256:{digest.hexdigest()}" != bundle.digest:
            raise SourceError(f"the blob {bundle.digest} is damaged: its content has another digest", hint="try again")
        return path

    def _unpack(self, path: str, quarantine_git_dir: str, number: int) -> Fetched:
        """Take a bundle's objects into the quarantine; refs there say that the next bundle may build on them."""
        way = open_transport(self._git_dir, Address("bundle", path, path, ""), self._environ, self._monitor)
        try:
            advertised = way.list_refs()
            fetched = way.fetch(advertised.refs, quarantine_git_dir)
        finally:
            way.close()
        folder = f"{quarantine_git_dir}/refs/have"
        storage.make_directory(folder, step="history-refs", parents=True)
        for place, oid in enumerate(dict.fromkeys(advertised.refs.values())):
            storage.write_file(
                f"{folder}/bundle-{number}-{place}", oid.hex().encode() + b"\n", step="history-ref", durable=False
            )
        return fetched

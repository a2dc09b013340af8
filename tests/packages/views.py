"""A TreeView of files in memory: what the packages room needs of an environment, with a record of what it read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from envgit.packages.package import MalformedRecord, Package
from envgit.packages.reading import DATABASES, read_packages
from envgit.packages.view import Node


class MemoryView:
    """Files by path; a directory is there when something is in it. `links`: symbolic links to directories, by path."""

    def __init__(self, files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> None:
        self.files = {os.fsencode(path): data for path, data in files.items()}
        self.links = {os.fsencode(path): os.fsencode(target) for path, target in (links or {}).items()}
        self.listed: set[bytes] = set()
        self.read: list[bytes] = []

    def list_directory(self, path: bytes) -> Mapping[bytes, Node]:
        path = self._resolve(path)
        self.listed.add(path)
        prefix = path + b"/" if path else b""
        names: dict[bytes, Node] = {}
        for file in self.files:
            if file.startswith(prefix):
                name, below, _ = file[len(prefix) :].partition(b"/")
                names[name] = Node("d" if below else "f", self._identity(prefix + name))
        for link in self.links:
            above, _, name = link.rpartition(b"/")
            if above == path:
                names[name] = Node("l", self.links[link])
        return names

    def find_node(self, path: bytes) -> Node | None:
        path = self._resolve(path)
        if path in self.files:
            return Node("f", self._identity(path))
        identity = self._identity(path)
        return Node("d", identity) if any(file.startswith(path + b"/") for file in self.files) else None

    def read_file(self, path: bytes, most_bytes: int) -> bytes | None:
        data = self.files.get(self._resolve(path))
        if data is None:
            return None
        if len(data) > most_bytes:
            raise MalformedRecord(f"it has {len(data):,} bytes")
        self.read.append(path)
        return data

    def _resolve(self, path: bytes) -> bytes:
        for link, target in self.links.items():
            if path == link or path.startswith(link + b"/"):
                return target + path[len(link) :]
        return path

    def _identity(self, path: bytes) -> bytes:
        inside = [(file, data) for file, data in self.files.items() if file == path or file.startswith(path + b"/")]
        digest = hashlib.sha256()
        for file, data in sorted(inside):
            digest.update(b"%d %b %d " % (len(file) - len(path), file[len(path) :], len(data)) + data)
        return digest.digest()


def packages_of(view: MemoryView, *managers: str) -> tuple[list[Package], list[str]]:
    """Return the packages and the notices."""
    notices: list[str] = []
    return read_packages(view, frozenset(managers or DATABASES), notices.append), notices


def words(packages: list[Package]) -> list[str]:
    return [f"{package.name} {package.version}" for package in packages]

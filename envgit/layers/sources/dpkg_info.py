"""What dpkg knows about files: lists, checksums, diversions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_DATABASE = "var/lib/dpkg"


class Diversion(NamedTuple):
    """`path` of every package but `owner` (":" for the administrator's own) is at `moved_to`. Leading slashes."""

    path: bytes
    moved_to: bytes
    owner: str


def info_files(root: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return, for each package, the paths of its files in dpkg's info folder by suffix ("list", "postinst", ...)."""
    wanted = set(names)
    found: dict[str, dict[str, str]] = {name: {} for name in wanted}
    folder = os.path.join(root, _DATABASE, "info")
    for file_name in sorted(os.listdir(folder)):
        stem, _, suffix = file_name.rpartition(".")
        name = stem.partition(":")[0]
        if name in wanted:
            found[name].setdefault(suffix, os.path.join(folder, file_name))
    return found


def read_lines(path: str | None) -> list[bytes]:
    """Return the lines of a file; none when there is no such file."""
    if path is None:
        return []
    try:
        with open(path, "rb") as file:
            return file.read().splitlines()
    except OSError:
        return []


def read_md5sums(path: str | None) -> dict[bytes, bytes]:
    """Return the MD5 (hex) of each file of a package, by path with leading slash."""
    sums = {}
    for line in read_lines(path):
        digest, _, name = line.partition(b"  ")
        sums[b"/" + name] = digest
    return sums


def read_diversions(root: str) -> list[Diversion]:
    """Return the diversions on this machine."""
    lines = read_lines(os.path.join(root, _DATABASE, "diversions"))
    return [
        Diversion(lines[i], lines[i + 1], lines[i + 2].decode("ascii", "replace")) for i in range(0, len(lines) - 2, 3)
    ]


def place_of(path: bytes, package: str, diversions: Mapping[bytes, Diversion]) -> bytes:
    """Return where on this machine the file is that `package` ships as `path`."""
    diversion = diversions.get(path)
    return path if diversion is None or diversion.owner == package else diversion.moved_to

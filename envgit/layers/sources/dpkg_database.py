"""dpkg's own database, cut down to the packages that came along."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from envgit.layers.sources.dpkg_alternatives import filter_alternative
from envgit.layers.sources.dpkg_info import Diversion, read_lines
from envgit.layers.sources.dpkg_status import Package
from envgit.layers.sources.host_copy import HostCopy
from envgit.layers.sources.ld_cache import filter_ld_cache

_DATABASE = b"/var/lib/dpkg"


def add_database(
    copy: HostCopy,
    packages: Sequence[Package],
    info: Mapping[str, Mapping[str, str]],
    diversions: Sequence[Diversion],
    mtime_ns: int,
) -> None:
    """Add /var/lib/dpkg, the alternatives and the loader's cache for `packages`; everything else must be there."""
    names = {package.name for package in packages}
    for folder in (b"", b"/info", b"/updates", b"/triggers", b"/alternatives", b"/parts"):
        copy.add_directory(_DATABASE + folder, 0o755, 0, mtime_ns)

    def add(name: bytes, content: bytes) -> None:
        copy.add_file(_DATABASE + b"/" + name, content, 0o644, 0, mtime_ns)

    add(b"status", b"".join(package.paragraph + b"\n\n" for package in packages))
    add(b"available", b"")
    kept = [diversion for diversion in diversions if diversion.owner in names]
    add(b"diversions", b"".join(b"%b\n%b\n%b\n" % (d.path, d.moved_to, d.owner.encode()) for d in kept))
    add(b"statoverride", b"")
    add(b"info/format", b"1\n")
    for files in info.values():
        for path in files.values():
            place = _DATABASE + b"/info/" + os.path.basename(os.fsencode(path))
            try:
                copy.add_from_host(place, place, None)
            except OSError as error:
                copy.leave_out(place, f"cannot be read: {error.strerror}")
    _add_triggers(copy, names, add)
    _add_alternatives(copy, mtime_ns)
    _add_loader_cache(copy, mtime_ns)


def _add_triggers(copy: HostCopy, names: set[str], add: object) -> None:
    assert callable(add)
    folder = copy.on_host(_DATABASE + b"/triggers")
    for name in sorted(_listing(folder)):
        if name in (b"Lock", b"Unincorp"):
            continue
        kept = []
        for line in read_lines(os.fsdecode(folder + b"/" + name)):
            owner = line.split()[-1] if line.split() else b""
            owner = owner.partition(b"/")[0].partition(b":")[0]
            if owner.decode("ascii", "replace") in names:
                kept.append(line)
        if kept or name == b"File":
            add(b"triggers/" + name, b"".join(line + b"\n" for line in kept))
    add(b"triggers/Unincorp", b"")
    add(b"triggers/Lock", b"")


def _add_alternatives(copy: HostCopy, mtime_ns: int) -> None:
    folder = copy.on_host(_DATABASE + b"/alternatives")
    for name in sorted(_listing(folder)):
        try:
            with open(folder + b"/" + name, "rb") as file:
                found = filter_alternative(name, file.read(), copy.exists)
        except OSError as error:
            copy.leave_out(_DATABASE + b"/alternatives/" + name, f"cannot be read: {error.strerror}")
            continue
        if found is not None:
            copy.add_file(_DATABASE + b"/alternatives/" + name, found.record, 0o644, 0, mtime_ns)
            for path, target in found.links:
                copy.add_link(path, target, mtime_ns)


def _add_loader_cache(copy: HostCopy, mtime_ns: int) -> None:
    try:
        with open(copy.on_host(b"/etc/ld.so.cache"), "rb") as file:
            cache = filter_ld_cache(file.read(), copy.exists)
    except OSError:
        cache = None
    if cache is None:
        copy.leave_out(b"/etc/ld.so.cache", "not readable here; run ldconfig inside to have one")
    else:
        copy.add_file(b"/etc/ld.so.cache", cache, 0o644, 0, mtime_ns)


def _listing(folder: bytes) -> list[bytes]:
    try:
        return os.listdir(folder)
    except OSError:
        return []

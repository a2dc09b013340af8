"""The embedded default: a minimal root filesystem from this machine's own distribution packages.

No network, no root, nothing but files that packages own: what they installed is copied, what their scripts make is
made again from their templates, and what belongs to this machine (users, keys, names, changed
configuration) stays here.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from envgit.errors import SourceError
from envgit.layers.sources.counting import CountingWriter
from envgit.layers.sources.dpkg_database import add_database
from envgit.layers.sources.dpkg_info import (
    Diversion,
    info_files,
    place_of,
    read_diversions,
    read_lines,
    read_md5sums,
)
from envgit.layers.sources.dpkg_status import Package, close_over, parse_status
from envgit.layers.sources.host_accounts import make_accounts
from envgit.layers.sources.host_copy import HostCopy, file_md5
from envgit.layers.sources.host_defaults import add_apt_sources, add_defaults
from envgit.layers.sources.source import Imported
from envgit.model import TreeWriter
from envgit.monitor import Monitor

_WANTED = {
    "apt", "base-files", "base-passwd", "bash", "coreutils", "debian-archive-keyring", "dpkg", "libc-bin", "procps",
    "python3", "ubuntu-keyring",
}  # fmt: skip
_THIS_MACHINE = (
    (b"/etc/machine-id", "identifies this machine"),
    (b"/etc/hostname", "the name of this machine"),
    (b"/etc/hosts", "names of this machine's network"),
    (b"/etc/resolv.conf", "name servers of this machine's network"),
    (b"/etc/fstab", "disks of this machine"),
    (b"/etc/ssh", "keys and configuration of this machine"),
    (b"/etc/ssl/private", "keys of this machine"),
    (b"/etc/sudoers", "rights of this machine's users"),
    (b"/etc/passwd", "users of this machine; the distribution's own accounts are there, locked"),
    (b"/etc/ld.so.preload", "configuration of this machine"),
    (b"/home", "files of this machine's users"),
    (b"/root", "files of this machine's administrator"),
)
_FOLD_ABOVE = 5


def import_host(writer: TreeWriter, monitor: Monitor, *, root: str = "/") -> Imported:
    """Store a minimal working root filesystem of the distribution below `root`.

    Everything installed that is left out, and everything that could not be read, is in the result with a reason. Raises
    SourceError when the distribution does not use dpkg, or dpkg or the shell cannot be read.
    """
    packages = _installed(root)
    names, missing = close_over(packages, _WANTED | {p.name for p in packages.values() if p.essential})
    chosen = [packages[name] for name in names]
    info = info_files(root, names)
    counter = CountingWriter(writer)
    mtime_ns = os.stat(os.path.join(root, "usr/share/base-passwd")).st_mtime_ns if "base-passwd" in packages else 0
    copy = HostCopy(root, counter, mtime_ns)
    accounts = make_accounts(root, mtime_ns // 86_400_000_000_000)
    copy.uids, copy.gids = accounts.uids | {0}, accounts.gids | {0}
    diversions = read_diversions(root)
    others = {d.path: d for d in diversions}

    monitor.start("copying packages", len(chosen), "packages")
    copy.assembler.add(b"", copy.assembler.get(b"")._replace(mtime_ns=mtime_ns))  # type: ignore[union-attr]
    for package in chosen:
        _copy_package(copy, package, info[package.name], others, set(names))
        monitor.advance()
    monitor.finish()

    add_defaults(copy, mtime_ns)
    for path, (content, mode, gid) in accounts.files.items():
        copy.add_file(b"/" + path, content, mode, gid, mtime_ns)
    add_apt_sources(copy, mtime_ns)
    add_database(copy, chosen, info, diversions, mtime_ns)
    for path, reason in _THIS_MACHINE:
        if os.path.lexists(copy.on_host(path)):
            copy.leave_out(path, reason)
    for relation in missing:
        monitor.warn(f"no installed package fulfils a dependency of {relation}")
    for needed in (b"/bin/sh", b"/usr/bin/dpkg"):
        if not copy.exists(needed):
            raise SourceError(
                f"{os.fsdecode(needed)} of this machine cannot be copied",
                hint="use another source: tar:FILE or dir:PATH",
            )
    assembled = copy.assembler.finish()
    return Imported(
        assembled.root,
        assembled.links,
        assembled.files,
        counter.directories,
        counter.bytes,
        tuple(sorted(set(copy.left_out))),
    )


def _installed(root: str) -> dict[str, Package]:
    try:
        with open(os.path.join(root, "var/lib/dpkg/status"), "rb") as file:
            return parse_status(file.read())
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise SourceError(
                "the packages of this machine's distribution are not managed by dpkg, which --from host needs",
                hint="use --from tar:FILE (for example made by docker export) or --from dir:PATH",
            ) from None
        raise SourceError(
            f"cannot read dpkg's list of packages: {error.strerror}", hint="use --from tar:FILE or --from dir:PATH"
        ) from error


def _copy_package(
    copy: HostCopy, package: Package, info: Mapping[str, str], diversions: Mapping[bytes, Diversion], names: set[str]
) -> None:
    sums = read_md5sums(info.get("md5sums"))
    absent = []
    for path in read_lines(info.get("list")):
        if path in (b"/.", b""):
            continue
        place = place_of(path, package.name, diversions)
        diversion = diversions.get(path)
        if diversion is not None and place != path and diversion.owner in names:
            path = place
        try:
            shipped = package.conffiles.get(path)
            if shipped is not None and _is_changed(copy, place, shipped):
                copy.leave_out(path, f"configuration of {package.name} that was changed on this machine")
                continue
            copy.add_from_host(path, place, None if shipped is not None else sums.get(path))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                absent.append(path)
            else:
                copy.leave_out(path, f"cannot be read: {error.strerror}")
    if len(absent) > _FOLD_ABOVE:
        copy.leave_out(absent[0], f"this and {len(absent) - 1} more files of {package.name} are not on this machine")
    else:
        for path in absent:
            copy.leave_out(path, f"a file of {package.name} that is not on this machine")


def _is_changed(copy: HostCopy, place: bytes, shipped: bytes) -> bool:
    fd = os.open(copy.on_host(copy.canonical(place)), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return file_md5(fd) != shipped
    finally:
        os.close(fd)

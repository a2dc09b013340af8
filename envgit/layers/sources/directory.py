"""Import of a directory that holds a root filesystem."""

from __future__ import annotations

import os

from envgit.errors import SourceError
from envgit.layers.scan import scan_directory
from envgit.layers.sources.counting import CountingWriter
from envgit.layers.sources.source import Imported, LeftOut
from envgit.model import DiskIds, TreeWriter
from envgit.monitor import Monitor


def import_directory(path: str, writer: TreeWriter, monitor: Monitor, *, is_root: bool) -> Imported:
    """Store the directory `path`. Owners are recorded as they are on disk; when not root, the caller's own files
    are recorded as such too. Sockets, mount points, and what cannot be read are left out and reported."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(
            f"cannot open the directory {path}: {error.strerror}",
            hint="name a readable directory: dir:PATH" if is_root else "name a directory you may read, or run as root",
        ) from error
    counter = CountingWriter(writer)
    try:
        scanned = scan_directory(fd, counter, DiskIds(ids=4294967295), monitor=monitor)
    finally:
        os.close(fd)
    for name in scanned.changed:
        monitor.warn(f"{os.fsdecode(name)!a} was written to while it was read")
    return Imported(
        scanned.root,
        scanned.links,
        counter.files,
        counter.directories,
        scanned.size,
        tuple(sorted(LeftOut(name, reason) for name, reason in scanned.skipped)),
    )

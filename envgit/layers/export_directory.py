"""Export of a tree into a directory of the filesystem."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

from envgit.errors import Conflict, StorageError
from envgit.layers.materialise import Materialised, materialise
from envgit.model import DirectoryRef, DiskIds, TreeReader
from envgit.monitor import Monitor


def export_directory(
    root: DirectoryRef, reader: TreeReader, path: str, *, monitor: Monitor, is_root: bool
) -> Materialised:
    """Write the tree into `path`, which must be empty or not exist (then its parent must).

    Root gets real owners and device nodes. Others get files of their own, without device nodes, and one warning. Links
    are never followed: `path` itself may not be a symbolic link. After an error the directory is incomplete.
    Raises Conflict when `path` has content, StorageError, CorruptObject, HostileInput.
    """
    made = _make(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        reason = "it is no directory or a symbolic link" if not made else str(error.strerror)
        raise StorageError(f"cannot export to {path}: {reason}", hint="name a new directory: dir:PATH") from error
    try:
        if os.listdir(fd):
            raise Conflict(f"the directory {path} is not empty", hint="name a new or empty directory: dir:PATH")
        monitor.start("writing files", None, "files")
        ids = DiskIds(ids=4294967295) if is_root else DiskIds(shift=os.geteuid(), single=True)
        if not is_root:
            _warn(root, reader, monitor)
        result = materialise(root, None, reader, fd, ids, monitor=monitor, devices=is_root)
        monitor.finish()
    finally:
        os.close(fd)
    return result


def _make(path: str) -> bool:
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return False
    except OSError as error:
        raise StorageError(
            f"cannot create the directory {path}: {error.strerror}", hint="name a directory you may write: dir:PATH"
        ) from error
    return True


def _warn(root: DirectoryRef, reader: TreeReader, monitor: Monitor) -> None:
    """Say once what an ordinary user's export cannot keep, if the tree has any of it: root's files are meant to be theirs."""
    owners = devices = 0
    for directory in _directories(root, reader):
        owners += directory[0]
        devices += directory[1]
    lost = []
    if owners:
        lost.append(f"{owners} entries with another owner than root or you are yours now")
    if devices:
        lost.append(f"{devices} device nodes are not created")
    if lost:
        monitor.warn("not exported as root: " + " and ".join(lost) + " (export to tar: keeps everything)")


def _directories(root: DirectoryRef, reader: TreeReader) -> Iterator[tuple[int, int]]:
    user, group = os.geteuid(), os.getegid()
    pending = [root]
    while pending:
        directory = reader.read_directory(pending.pop())
        entries = [child.entry for child in directory.children.values() if child.entry.type != "d"]
        own = directory.own
        yield (
            sum(1 for entry in (own, *entries) if entry.uid not in (0, user) or entry.gid not in (0, group)),
            sum(1 for entry in entries if entry.type in ("c", "b")),
        )
        pending += [cast("DirectoryRef", c.content) for c in directory.children.values() if c.entry.type == "d"]

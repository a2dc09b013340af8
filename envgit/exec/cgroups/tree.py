"""The files of control groups: read, write, make, remove. Every touch of a group's folder goes through here.

Tests replace single functions to stand in for hierarchies that a machine does not have.

A folder is locked (flock, shared) by the process that made it, for as long as that lives. A group that is empty and not locked
is a leftover of a killed maker; whoever makes the next one beside it removes it. No pid is compared, so makers in
other pid namespaces are respected too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress

PREFIX = "envgit-"
SWEEP_SECONDS = 1.0
_TRIES = 10
_PAUSE_SECONDS = 0.005
_swept: dict[str, float] = {}


def read(path: str) -> str:
    """Return a file's text without white space around it. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        pieces = []
        while piece := os.read(fd, 65536):
            pieces.append(piece)
        return b"".join(pieces).decode("ascii", "replace").strip()
    finally:
        os.close(fd)


def write(path: str, text: str) -> None:
    """Write one value in one call, as the kernel wants it. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)


def make(path: str) -> int:
    """Make a group and return a descriptor that marks it as in use.

    A leftover of the same name is replaced. Raises FileExistsError for one in use, OSError for what the kernel says.
    """
    for _ in range(_TRIES):
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            if not remove_unused(path):
                raise
            continue
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # swept between the two calls
            continue
        fcntl.flock(fd, fcntl.LOCK_SH)
        if exists(path) and os.path.samestat(os.stat(path), os.fstat(fd)):
            return fd
        os.close(fd)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def ensure(path: str) -> None:
    """Make a group that outlives its makers, if there is none yet."""
    with suppress(FileExistsError):
        os.mkdir(path, 0o755)


def exists(path: str) -> bool:
    return os.path.isdir(path)


def writable(path: str) -> bool:
    """Return whether this process may change a file or folder; a read-only mount says no to root as well."""
    return os.access(path, os.W_OK, effective_ids=True)


def children(path: str) -> list[str]:
    """Return the paths of the groups below; none when the group is gone."""
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def remove(path: str) -> bool:
    """Remove an empty group and the groups below it; False while there are processes in one of them."""
    for child in children(path):
        remove(child)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        raise
    return True


def remove_unused(path: str) -> bool:
    """Remove a group whose maker is gone and that is empty; False when it is in use or not ours to remove."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return not exists(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return remove(path)
    except OSError:
        return False
    finally:
        os.close(fd)


def remove_leftovers(parent: str) -> tuple[str, ...]:
    """Remove every leftover group of envgit below `parent`; return the removed paths."""
    ours = [path for path in children(parent) if os.path.basename(path).startswith(PREFIX)]
    return tuple(path for path in ours if remove_unused(path))


def sweep(parent: str) -> None:
    """Remove leftovers before a new group is made, but not again for each of many made at once."""
    now = time.monotonic()
    if now - _swept.get(parent, -SWEEP_SECONDS) >= SWEEP_SECONDS:
        _swept[parent] = now
        remove_leftovers(parent)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look again and again, for at most `seconds`; return whether it came true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def processes(path: str) -> tuple[int, ...]:
    """Return the pids in a group, below it not; none when the group is gone. 0 stands for one this namespace cannot name."""
    try:
        return tuple(int(word) for word in read(f"{path}/cgroup.procs").split())
    except OSError:
        return ()


def fields(path: str) -> dict[str, int]:
    """Return a file of `KEY NUMBER` lines; {} when there is none."""
    try:
        pairs = [line.split() for line in read(path).splitlines()]
    except OSError:
        return {}
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def number(path: str) -> int | None:
    """Return a file of one number; None when there is none, or `max`."""
    try:
        text = read(path)
    except OSError:
        return None
    return int(text) if text.isdigit() else None

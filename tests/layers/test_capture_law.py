"""Whatever programs do through a real overlay mount, capture records what is seen there."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envgit.layers.attributes import write_attributes
from envgit.layers.capture import capture
from envgit.layers.compare import diff_trees
from envgit.layers.materialise import materialise
from envgit.layers.memory_tree import MemoryTree
from envgit.layers.scan import Scanned, scan_directory
from envgit.model import Change, DirectoryRef

from . import trees
from .dict_store import DictStore
from .overlay import needs_root, with_overlay
from .test_laws import PLAIN, Place, in_scratch


def write(path: bytes, data: bytes, mode: str) -> None:
    """Without O_NONBLOCK, opening a FIFO waits for a reader for ever."""
    with open(path, mode, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK, 0o666)) as stream:
        stream.write(data)


def touch(path: bytes, other: bytes) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK))


def remove_directory(path: bytes, other: bytes) -> None:
    """rmtree opens what it is given, and opening a FIFO waits for a writer for ever."""
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        raise NotADirectoryError
    shutil.rmtree(path)


def replace_directory(path: bytes, other: bytes) -> None:
    remove_directory(path, other)
    os.mkdir(path)
    write(path + b"/a", b"new", "wb")


DO: dict[str, Callable[[bytes, bytes], Any]] = {
    "write": lambda path, other: write(path, b"written " + other[-2:], "wb"),
    "append": lambda path, other: write(path, b"more", "ab"),
    "touch": touch,
    "delete": lambda path, other: os.unlink(path),
    "rmtree": remove_directory,
    "mkdir": lambda path, other: os.makedirs(path),
    "rename": os.rename,
    "chmod": lambda path, other: os.chmod(path, 0o751) if not os.path.islink(path) else None,
    "chown": lambda path, other: os.chown(path, 7, 8, follow_symlinks=False),
    "xattr": lambda path, other: os.setxattr(path, b"user.new", b"v", follow_symlinks=False),
    "link": lambda path, other: os.link(path, other, follow_symlinks=False),
    "symlink": lambda path, other: os.symlink(b"to", path),
    "utime": lambda path, other: os.utime(path, ns=(5, 5), follow_symlinks=False),
    "truncate": lambda path, other: os.truncate(path, 3) if not os.path.islink(path) else None,
    "fifo": lambda path, other: os.mkfifo(path),
    "replace": replace_directory,
}


Operation = tuple[str, int, int, bytes]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(sorted(DO)),
        st.integers(0, 40),
        st.integers(0, 40),
        trees.NAMES,
    ),
    max_size=14,
)


def act(operations: list[Operation]) -> Callable[[int], None]:
    """Do each operation to one of the names that exist then, or to a new name beside one; what fails fails."""

    def inside(mounted: int) -> None:
        os.fchdir(mounted)
        for name, first, second, new in operations:
            directories: list[bytes] = [b"."]
            others: list[bytes] = []
            for path, below, files in os.walk(b".", followlinks=False):
                for child in below + files:
                    full = path + b"/" + child
                    is_directory = os.path.isdir(full) and not os.path.islink(full)
                    (directories if is_directory else others).append(full)
            directories[1:] = sorted(directories[1:])
            others.sort()
            made = directories[second % len(directories)] + b"/" + new
            wanted = directories[1:] if name in ("rmtree", "replace") else others + directories[1:]
            path = wanted[first % len(wanted)] if wanted and name not in ("mkdir", "symlink", "fifo") else made
            if name in ("write", "append", "truncate") and (os.path.islink(path) or not os.path.isfile(path)):
                path = made
                if os.path.lexists(path):
                    continue
            try:
                DO[name](path, made)
            except OSError:
                continue

    return inside


def look(mounted: int) -> tuple[Scanned, DictStore]:
    store = DictStore()
    return scan_directory(mounted, store, PLAIN, one_filesystem=False), store


def real(change: Change) -> bool:
    """A copy-up may fill holes; the base's word counts then."""
    if change.kind != "P" or change.old is None or change.new is None:
        return True
    return change.old.entry._replace(sparse=False) != change.new.entry._replace(sparse=False)


@needs_root
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=trees.plans, links=trees.links, operations=OPERATIONS)
def test_capture_is_what_the_mount_shows(plan: trees.Plan, links: list[int], operations: list[Operation]) -> None:
    store = DictStore()
    base, _ = trees.build(store, plan, links)

    def body(place: Place) -> None:
        lower, lower_fd = place.make("lower")
        upper, upper_fd = place.make("upper")
        work, work_fd = place.make("work")
        where, where_fd = place.make("where")
        for fd in (work_fd, where_fd):
            os.close(fd)
        materialise(base, None, store, lower_fd, PLAIN)
        write_attributes(upper_fd, store.read_directory(base).own, PLAIN, (0, 0), print)
        with_overlay([lower], upper, work, where, act(operations))
        # A fresh mount: the first one still shows inodes as they were before they were copied up.
        scanned, own = with_overlay([upper, lower], None, None, where, look)
        store.metas.update(own.metas)
        store.blobs.update(own.blobs)
        captured = capture(upper_fd, base, store, store, PLAIN)
        differences = [
            change for change in diff_trees(scanned.root, captured.root, store, with_mtime=True) if real(change)
        ]
        assert differences == []
        assert captured.links == scanned.links

        memory = MemoryTree(store, upper_fd, hash_files=True)
        assert capture(upper_fd, base, store, memory, PLAIN).root.sha256 == captured.root.sha256
        lazy = MemoryTree(store, upper_fd)
        status = capture(upper_fd, base, store, lazy, PLAIN)
        assert names(base, status.root, lazy) == names(base, captured.root, store)
        assert list(diff_trees(captured.root, status.root, lazy, with_mtime=True)) == []
        if not operations:
            assert captured.root == base

        edge, edge_fd = place.make("edge")
        materialise(captured.root, base, store, edge_fd, PLAIN)
        assert capture(edge_fd, base, store, store, PLAIN).root == captured.root
        for fd in (lower_fd, upper_fd, edge_fd):
            os.close(fd)

    in_scratch(body)


def names(old: DirectoryRef, new: DirectoryRef, reader: DictStore | MemoryTree) -> list[tuple[bytes, str]]:
    return [(change.path, change.kind) for change in diff_trees(old, new, reader)]

"""Move the current branch ahead and take its uncommitted changes along, where the two do not meet."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from envgit.capturing import capture_upper
from envgit.errors import Conflict, StorageError
from envgit.layers.compare import diff_trees
from envgit.layers.descent import DIRECTORY_FLAGS
from envgit.layers.ignore import IgnoreRules
from envgit.layers.memory_tree import MemoryTree
from envgit.layers.noise import classify_noise
from envgit.layers.whiteout import opacity
from envgit.model import Change
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.sandbox.mount_notes import read_notes
from envgit.snapshot import read_snapshot
from envgit.stack import call_where_ids_are_plain
from envgit.transaction import Transaction
from envgit.uppers import claim_worktree, has_changes, open_upper, upper_paths
from envgit.worktree import Pointer, worktree_name

_MOST_NAMED = 3


class Forwarded(NamedTuple):
    """`carried`: uncommitted changes lie on the new commit now. `changed`: how many paths differ between the two commits."""

    old: bytes | None
    new: bytes
    carried: bool
    changed: int


def forward_branch(repo: Repository, transaction: Transaction, new: bytes, branch: str) -> Forwarded:
    """Plan to move `branch`, which is checked out, to `new`; its uncommitted changes then lie on that commit.

    Raises Conflict, and nothing was planned, when a sandbox is running in the worktree, or uncommitted changes touch what differs
    between the old commit and the new one: the upper directory would hide it.
    """
    ref = BRANCH_PREFIX + branch
    old = repo.refs.resolve(ref)
    pointer = repo.read_pointer(branch, old)
    claim_worktree(repo, transaction, pointer)
    before = read_snapshot(repo.objects, old).root if old is not None else None
    changed = sum(1 for _ in diff_trees(before, read_snapshot(repo.objects, new).root, repo.reader))
    carried = carry_over(repo, pointer, old, new, "uncommitted changes touch what the new commits change")
    transaction.set_ref(ref, new, based_on=old)
    transaction.set_worktree(worktree_name(branch), carried.format() if carried else None)
    return Forwarded(old, new, carried is not None, changed)


def carry_over(repo: Repository, pointer: Pointer | None, old: bytes | None, new: bytes, says: str) -> Pointer | None:
    """Return the pointer that shows on `new` what a worktree has changed on `old`; None: there is nothing to take along.

    What the upper directory holds of `old` as it is (files that were only copied up, mount points of runs) is no change: where
    it would hide something of `new` it is removed, which changes nothing on `old`. Noise that meets `new` stays behind, with the
    old pointer. Raises Conflict, which begins with `says`, when changes meet it; then nothing was removed.
    """
    if pointer is None or old is None or not has_changes(repo, pointer, old):
        return None
    _ = repo.committer()  # in the tree namespace this process is somebody else
    changes = [change.path for change in read_uncommitted(repo, pointer, old)]
    if not changes:
        return None
    if pointer.base != old or pointer.upper is None:
        raise Conflict(
            "the worktree lies on another commit than its branch, with uncommitted changes",
            hint="envgit commit -m ... first, or envgit reset --hard to drop them",
        )
    before, after = (read_snapshot(repo.objects, oid).root for oid in (old, new))
    repo.enter_tree_namespace()
    top = open_upper(upper_paths(repo, pointer.upper))
    try:
        covers = _covers(top, list(diff_trees(before, after, repo.reader)))
        copies = _find_copies(top, covers, frozenset(changes))
        meeting = [path for path in sorted(covers) if path not in copies]
        if meeting and all(classify_noise(path) is not None for path in changes):
            return None
        if meeting:
            raise _meeting(says, meeting)
        for path in copies:
            _remove(top, path)
    except OSError as error:
        raise StorageError(f"the uncommitted changes cannot be read: {error.strerror}", hint="envgit fsck") from error
    finally:
        os.close(top)
    return Pointer(new, pointer.upper)


def has_real_changes(repo: Repository, pointer: Pointer, tip: bytes) -> bool:
    """Say whether a worktree has changes other than noise. This process stays in its namespace."""
    if not has_changes(repo, pointer, tip):
        return False

    def look() -> bytes:
        changes = read_uncommitted(repo, pointer, tip)
        return b"yes" if any(classify_noise(change.path) is None for change in changes) else b"no"

    return call_where_ids_are_plain(repo, look) == b"yes"


def read_uncommitted(repo: Repository, pointer: Pointer, tip: bytes) -> list[Change]:
    """Return what a worktree has that `tip` has not, noise and what .envgitignore leaves out included; not what no commit records.

    Enters the tree namespace.
    """
    tip_root, base = (read_snapshot(repo.objects, oid).root for oid in (tip, pointer.base))
    if pointer.upper is None:
        return list(diff_trees(tip_root, base, repo.reader))
    repo.enter_tree_namespace()
    top = open_upper(upper_paths(repo, pointer.upper))
    try:
        memory = MemoryTree(repo.reader, top)
        rules = IgnoreRules()
        rules.mount_points = read_notes(top).created
        captured = capture_upper(repo, top, base, memory, memory, rules)
        return list(diff_trees(tip_root, captured.root, memory))
    finally:
        os.close(top)


def _meeting(says: str, paths: list[bytes]) -> Conflict:
    shown = ", ".join(os.fsdecode(path) or "/" for path in paths[:_MOST_NAMED])
    more = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
    return Conflict(
        f"{says}: {shown}{more}",
        hint="take them back: envgit restore PATH; or keep them on a branch: envgit checkout -b NAME; envgit commit -m ...",
    )


def _covers(top: int, changes: list[Change]) -> frozenset[bytes]:
    """Return the paths of the upper directory that would hide one of the changes."""
    found = (_find_cover(top, change.path) for change in changes)
    return frozenset(path for path in found if path is not None)


def _find_cover(top: int, path: bytes) -> bytes | None:
    """Return what the upper directory has at the path, or what covers it from above; None when it shows through."""
    if not path:
        return path
    parts = path.split(b"/")
    fd = os.dup(top)
    try:
        for depth, part in enumerate(parts[:-1], 1):
            try:
                below = os.open(part, DIRECTORY_FLAGS, dir_fd=fd)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENXIO):  # a whiteout, a file, a link
                    return b"/".join(parts[:depth])
                raise
            os.close(fd)
            fd = below
            if opacity(fd, os.listxattr(fd)) == "opaque":
                return b"/".join(parts[:depth])
        os.lstat(parts[-1], dir_fd=fd)
        return path
    except FileNotFoundError:
        return None
    finally:
        os.close(fd)


def _find_copies(top: int, covers: frozenset[bytes], changed: frozenset[bytes]) -> dict[bytes, None]:
    """Return the covers that are as the old commit has them, and may go; what is in a directory before the directory."""
    copies: dict[bytes, None] = {}
    for path in sorted(covers - {b""}, key=lambda path: (-path.count(b"/"), path)):
        if path in changed or any(
            each.startswith(path + b"/") for each in changed
        ):  # an opaque directory hides what is gone
            continue
        folder, name = _open_parent(top, path)
        try:
            status = os.lstat(name, dir_fd=folder)
            if not stat.S_ISDIR(status.st_mode):
                removable = status.st_nlink == 1  # of several names one alone may have changed
            else:
                fd = os.open(name, DIRECTORY_FLAGS, dir_fd=folder)
                try:
                    removable = all(path + b"/" + os.fsencode(each) in copies for each in os.listdir(fd))
                finally:
                    os.close(fd)
        finally:
            os.close(folder)
        if removable:
            copies[path] = None
    return copies


def _remove(top: int, path: bytes) -> None:
    folder, name = _open_parent(top, path)
    try:
        before = os.fstat(folder)
        if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
        os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    finally:
        os.close(folder)


def _open_parent(top: int, path: bytes) -> tuple[int, bytes]:
    """Return a descriptor of the directory that holds a path, which is the caller's to close, and the last name."""
    *folders, name = path.split(b"/")
    fd = os.dup(top)
    for folder in folders:
        below = os.open(folder, DIRECTORY_FLAGS, dir_fd=fd)
        os.close(fd)
        fd = below
    return fd, name

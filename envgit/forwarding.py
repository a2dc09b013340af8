"""Move the current branch ahead and take its uncommitted changes along, where the two do not meet."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from envgit.errors import Conflict, StorageError
from envgit.layers.compare import diff_trees
from envgit.layers.descent import DIRECTORY_FLAGS
from envgit.layers.whiteout import opacity
from envgit.model import Change
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.snapshot import read_snapshot
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
    dirty = pointer is not None and has_changes(repo, pointer, old)
    before = read_snapshot(repo.objects, pointer.base).root if dirty and pointer else None
    if before is None and old is not None:
        before = read_snapshot(repo.objects, old).root
    changes = list(diff_trees(before, read_snapshot(repo.objects, new).root, repo.reader))
    carried = None
    if dirty and pointer is not None:
        if pointer.base != old:
            raise Conflict(
                "the worktree lies on another commit than its branch, with uncommitted changes",
                hint="envgit commit -m ... first, or envgit reset --hard to drop them",
            )
        if pointer.upper is not None:
            _refuse_meeting(repo, pointer.upper, changes)
            carried = Pointer(new, pointer.upper)
    transaction.set_ref(ref, new, based_on=old)
    transaction.set_worktree(worktree_name(branch), carried.format() if carried else None)
    return Forwarded(old, new, carried is not None, len(changes))


def _refuse_meeting(repo: Repository, upper: str, changes: list[Change]) -> None:
    repo.committer()  # in the tree namespace this process is somebody else
    repo.enter_tree_namespace()
    top = open_upper(upper_paths(repo, upper))
    try:
        meeting = [change.path for change in changes if _hides(top, change)]
    except OSError as error:
        raise StorageError(f"the uncommitted changes cannot be read: {error.strerror}", hint="envgit fsck") from error
    finally:
        os.close(top)
    if meeting:
        shown = ", ".join(os.fsdecode(path) or "/" for path in meeting[:_MOST_NAMED])
        more = f" and {len(meeting) - _MOST_NAMED} more" if len(meeting) > _MOST_NAMED else ""
        raise Conflict(
            f"uncommitted changes touch what the new commits change: {shown}{more}",
            hint="take them back: envgit restore PATH; or keep them on a branch: envgit checkout -b NAME; envgit commit -m ...",
        )


def _hides(top: int, change: Change) -> bool:
    """Say whether the upper directory holds something at the path, or covers it from above."""
    if not change.path:
        return True
    parts = change.path.split(b"/")
    fd = os.dup(top)
    try:
        for part in parts[:-1]:
            try:
                below = os.open(part, DIRECTORY_FLAGS, dir_fd=fd)
            except FileNotFoundError:
                return False
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENXIO):  # a whiteout, a file, a link
                    return True
                raise
            os.close(fd)
            fd = below
            if opacity(fd, os.listxattr(fd)) == "opaque":
                return True
        os.lstat(parts[-1], dir_fd=fd)
        return True
    except FileNotFoundError:
        return False
    finally:
        os.close(fd)

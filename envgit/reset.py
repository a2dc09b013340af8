"""Reset: move the branch to another revision; with --hard the worktree goes along."""

from __future__ import annotations

from typing import Literal, NamedTuple

from envgit.branch import read_subject
from envgit.errors import CorruptObject, HostileInput, StorageError, UnknownRevision
from envgit.repo import Repository
from envgit.status import read_status
from envgit.transaction import Transaction
from envgit.uppers import claim_worktree
from envgit.worktree import Pointer, worktree_name


class ResetResult(NamedTuple):
    """`discarded`: paths whose uncommitted changes were set aside (undo brings them back); `kept`: that stay."""

    branch: str | None
    old_oid: str
    new_oid: str
    subject: str
    discarded: int
    kept: int
    operation: int | None


def reset(
    repo: Repository,
    revision: str = "HEAD",
    mode: Literal["soft", "mixed", "hard"] = "mixed",
    dry_run: bool = False,
) -> ResetResult:
    """Move HEAD's branch to `revision`. There is no index, so soft and mixed are the same: the worktree stays as it is.

    Hard takes a fresh worktree at the revision; the old upper directory is kept for `undo` until gc. Raises Conflict when
    a sandbox runs in a worktree that would be discarded.
    """
    # Counting the changes may enter the tree namespace, so who commits is asked first: operation() does.
    with repo.operation(["reset", f"--{mode}", revision]) as transaction:
        head = repo.read_head()
        if head.oid is None:
            raise UnknownRevision(f"branch {repo.branch_name()} has no commits yet", hint="envgit import --from host")
        oid = repo.resolve_bytes(revision)
        pointer = _read_pointer(repo, head.oid, mode)
        if mode == "hard":
            claim_worktree(repo, transaction, pointer)
        changed = _count_changes(repo, mode)
        done = None if dry_run else _move(repo, transaction, oid, revision, pointer if mode != "hard" else None)
    return ResetResult(
        branch=repo.branch_name(),
        old_oid=head.oid.hex(),
        new_oid=oid.hex(),
        subject=read_subject(repo, oid),
        discarded=changed if mode == "hard" else 0,
        kept=changed if mode != "hard" else 0,
        operation=done,
    )


def _read_pointer(repo: Repository, tip: bytes, mode: str) -> Pointer:
    """Return the worktree's pointer; hard is the way out of a damaged one."""
    try:
        return repo.read_pointer(repo.branch_name(), tip) or Pointer(tip, None)
    except CorruptObject:
        if mode != "hard":
            raise
        return Pointer(tip, None)


def _count_changes(repo: Repository, mode: str) -> int:
    try:
        status = read_status(repo)
    except (StorageError, CorruptObject, HostileInput):
        if mode != "hard":
            raise
        return 0  # the upper directory is damaged, or without end: this is the way out
    return len(status.changes) + sum(group.paths for group in status.noise)


def _move(repo: Repository, transaction: Transaction, oid: bytes, revision: str, pointer: Pointer | None) -> int:
    head = repo.read_head()
    if head.symbolic is not None:
        transaction.set_ref(head.symbolic, oid)
    else:
        transaction.set_head(oid.hex())
    keep = pointer is not None and pointer != Pointer(oid, None)
    transaction.set_worktree(worktree_name(repo.branch_name()), pointer.format() if keep and pointer else None)
    return transaction.finish(f"reset: moving to {revision}").number

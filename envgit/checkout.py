"""Checkout: move HEAD to another branch or revision. Uncommitted changes stay with their branch; nothing is copied."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from envgit.errors import Conflict, EnvgitError, InvalidName, StorageError, UnknownRevision
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.store.ref_names import check_branch_name
from envgit.store.reflog import previous_branch
from envgit.transaction import Transaction
from envgit.uppers import claim_worktree, has_changes
from envgit.worktree import DETACHED, Pointer, worktree_name


class CheckoutResult(NamedTuple):
    branch: str | None
    oid: str | None
    created: bool
    carried: bool
    previous: str
    already: bool
    uncommitted: bool
    operation: int | None


def checkout(
    repo: Repository,
    target: str | None,
    *,
    create: str | None = None,
    force_create: bool = False,
    detach: bool = False,
) -> CheckoutResult:
    """Check out a branch, or detach HEAD at a revision; `create` makes a branch there first.

    A new branch that starts at HEAD takes the uncommitted changes along, as git does. `-` is the branch before. Raises
    UnknownRevision, InvalidName, and Conflict when a detached HEAD's changes would belong to nobody.
    """
    command = ["checkout", *(["-b", create] if create else []), *([target] if target else [])]
    with repo.operation(command) as transaction:
        if create is not None:
            return _checkout_new(repo, transaction, create, target, force_create)
        name = _previous(repo) if target == "-" else target or "HEAD"
        branch_oid = None if detach else repo.refs.resolve(BRANCH_PREFIX + name)
        if branch_oid is not None:
            return _switch(repo, transaction, name, branch_oid)
        if not detach and name == repo.branch_name():
            return _switch(repo, transaction, name, None)
        remembered = None if detach else _remembered(repo, name)
        if remembered is not None:
            return _checkout_remembered(repo, transaction, name, remembered)
        return _detach(repo, transaction, name)


def _remembered(repo: Repository, name: str) -> str | None:
    """Return the one remote that has a branch of this name, where nothing here is called so, as git checkout guesses."""
    prefix = "refs/remotes/"
    found = [ref for ref, _ in repo.refs.iter_refs(prefix) if ref.removeprefix(prefix).partition("/")[2] == name]
    if not found:
        return None
    try:
        repo.resolve_bytes(name)
    except UnknownRevision:
        if len(found) == 1:
            return found[0]
        places = [ref.removeprefix(prefix) for ref in found]
        raise Conflict(
            f"several remotes have a branch {name}: {', '.join(places)}",
            hint=f"say which: envgit checkout -b {name} {places[-1]}",
        ) from None
    except EnvgitError:
        return None
    return None


def _checkout_remembered(repo: Repository, transaction: Transaction, branch: str, tracking: str) -> CheckoutResult:
    """Make the branch where the remote has it, and let it follow."""
    from envgit.remotes.configuration import set_upstream

    result = _checkout_new(repo, transaction, branch, tracking, False)
    set_upstream(repo, branch, tracking.removeprefix("refs/remotes/").partition("/")[0], BRANCH_PREFIX + branch)
    return result


def _previous(repo: Repository) -> str:
    """Return the branch (or commit) that was checked out before, from HEAD's reflog as git reads it."""
    name = previous_branch(repo.git_dir, 1)
    if name is None:
        raise UnknownRevision("there is no previous branch to go back to", hint="envgit branch lists them")
    return name


def _check_environment(repo: Repository, oid: bytes | None) -> None:
    """Raise CorruptObject unless HEAD may be at an object: stock git lets a ref be anything."""
    if oid is not None and repo.cache.find_plan(oid.hex()) is None:
        from envgit.snapshot import read_snapshot

        read_snapshot(repo.objects, oid)


def _switch(repo: Repository, transaction: Transaction, branch: str, tip: bytes | None) -> CheckoutResult:
    if branch != repo.branch_name():
        _check_environment(repo, tip)
    previous = _leave(repo, transaction, branch)
    pointer = repo.read_pointer(branch, tip)
    result = CheckoutResult(
        branch=branch,
        oid=tip.hex() if tip else None,
        created=False,
        carried=False,
        previous=previous,
        already=repo.branch_name() == branch,
        uncommitted=has_changes(repo, pointer, tip),
        operation=None,
    )
    if result.already:
        return result
    transaction.set_head(BRANCH_PREFIX + branch)
    done = transaction.finish(f"checkout: moving from {previous} to {branch}")
    return result._replace(operation=done.number)


def _detach(repo: Repository, transaction: Transaction, revision: str) -> CheckoutResult:
    oid = repo.resolve_bytes(revision)
    _check_environment(repo, oid)
    previous = _leave(repo, transaction, None, oid)
    head = repo.read_head()
    already = head.symbolic is None and head.oid == oid
    result = CheckoutResult(None, oid.hex(), False, False, previous, already, False, None)
    if already:
        return result
    left = repo.read_pointer(None, oid)
    if left is not None and left.base != oid:  # what an undone checkout left; it belongs to another commit
        if head.symbolic is not None:
            _set_aside(repo, transaction, left)
        transaction.set_worktree(DETACHED, None)
    transaction.set_head(oid.hex())
    done = transaction.finish(f"checkout: moving from {previous} to {revision}")
    return result._replace(operation=done.number)


def _checkout_new(
    repo: Repository, transaction: Transaction, branch: str, start: str | None, force: bool
) -> CheckoutResult:
    check_branch_name(branch)
    head = repo.read_head()
    previous = repo.branch_name() or (head.oid.hex() if head.oid else "")
    name = BRANCH_PREFIX + branch
    moved = repo.refs.resolve(name)
    if moved is not None and not force:
        raise InvalidName(f"branch {branch} exists already", hint=f"envgit checkout {branch}, or -B to move it")
    oid = head.oid if start is None else repo.resolve_bytes(start)
    _check_environment(repo, oid)
    carried = False
    if moved is None or moved != oid:
        from envgit.branch import release_worktree

        release_worktree(repo, transaction, branch, moved)
    if oid == head.oid and previous != branch:
        carried = _carry(repo, transaction, branch, oid)
    else:
        _leave(repo, transaction, branch)
    if oid is not None:
        transaction.set_ref(name, oid)
    transaction.set_head(name)
    done = transaction.finish(f"checkout: moving from {previous} to {branch}")
    return CheckoutResult(branch, oid.hex() if oid else None, True, carried, previous, False, carried, done.number)


def _carry(repo: Repository, transaction: Transaction, branch: str, tip: bytes | None) -> bool:
    """Hand the current worktree's pointer to the new branch; the old branch is clean at its tip."""
    pointer = repo.read_pointer(repo.branch_name(), tip)
    if pointer is None or not has_changes(repo, pointer, tip):
        _leave(repo, transaction, branch)
        return False
    from envgit.status import is_dirty

    dirty = is_dirty(repo, repo.branch_name(), tip)  # the upper directory may hold nothing but what is never recorded
    transaction.set_worktree(worktree_name(branch), pointer.format())
    transaction.set_worktree(worktree_name(repo.branch_name()), None)
    return dirty


def _leave(repo: Repository, transaction: Transaction, branch: str | None, oid: bytes | None = None) -> str:
    """Return what HEAD is now; a detached one that is left has no worktree any more. Raises Conflict when it is in use."""
    head = repo.read_head()
    if head.symbolic is not None or head.oid is None:
        return repo.branch_name() or ""
    pointer = repo.read_pointer(None, head.oid)
    if branch is None and oid == head.oid:
        return head.oid.hex()
    claim_worktree(repo, transaction, pointer)
    if has_changes(repo, pointer, head.oid):
        from envgit.status import is_dirty

        if is_dirty(repo, None, head.oid):
            raise Conflict(
                f"the detached HEAD at {repo.short(head.oid.hex())} has uncommitted changes that belong to no branch",
                hint="keep them with: envgit checkout -b NAME; or drop them with: envgit reset --hard",
            )
    transaction.set_worktree(DETACHED, None)
    return head.oid.hex()


def _set_aside(repo: Repository, transaction: Transaction, left: Pointer) -> None:
    """Say that uncommitted changes of an earlier detached HEAD are left behind. Raises Conflict when a sandbox makes some."""
    claim_worktree(repo, transaction, left)
    if not has_changes(repo, left, left.base):
        return
    from envgit.status import is_dirty

    with suppress(StorageError):  # a damaged upper directory has nothing to bring back
        if is_dirty(repo, None, left.base):
            at = repo.short(left.base.hex())
            repo.monitor.warn(
                f"uncommitted changes of the detached HEAD that was at {at} are set aside; envgit undo, then "
                f"envgit checkout {at} brings them back"
            )

"""Branches: list, create, delete, rename."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from envgit.errors import Conflict, InvalidName, UnknownRevision
from envgit.remotes.configuration import TRACKING_PREFIX, list_remotes, read_upstream, set_upstream, unset_upstream
from envgit.repo import BRANCH_PREFIX, Repository, hex_or_none
from envgit.store.history import is_ancestor
from envgit.store.objects import parse_commit
from envgit.store.ref_names import check_branch_name
from envgit.suggestion import did_you_mean
from envgit.transaction import Transaction
from envgit.transfer.address import without_password
from envgit.uppers import claim_worktree, has_changes
from envgit.worktree import worktree_name


class Branch(NamedTuple):
    name: str
    oid: str
    current: bool
    subject: str
    uncommitted: bool


class BranchResult(NamedTuple):
    name: str
    oid: str
    previous: str | None
    operation: int


def list_branches(
    repo: Repository, *, contains: str | None = None, merged: str | None = None, pattern: str | None = None
) -> tuple[Branch, ...]:
    """Return the branches in name order. `contains`/`merged`: a revision, as git branch has them."""
    current = repo.branch_name()
    needle = repo.resolve_bytes(contains) if contains else None
    limit = repo.resolve_bytes(merged) if merged else None
    found = []
    for ref, oid in sorted(repo.iter_refs(BRANCH_PREFIX)):
        name = ref.removeprefix(BRANCH_PREFIX)
        if pattern is not None and not fnmatchcase(name, pattern):
            continue
        if needle is not None and not is_ancestor(repo.objects, needle, oid):
            continue
        if limit is not None and not is_ancestor(repo.objects, oid, limit):
            continue
        pointer = repo.read_pointer(name, oid)
        found.append(Branch(name, oid.hex(), name == current, read_subject(repo, oid), has_changes(repo, pointer, oid)))
    return tuple(found)


def list_remembered(repo: Repository, *, pattern: str | None = None) -> tuple[Branch, ...]:
    """Return what is known of the remotes' branches, as of the last fetch or push; names such as `origin/main`."""
    found = []
    for ref, oid in repo.iter_refs(TRACKING_PREFIX):
        name = ref.removeprefix(TRACKING_PREFIX)
        if (pattern is None or fnmatchcase(name, pattern)) and not name.endswith("/HEAD"):
            found.append(Branch(name, oid.hex(), False, read_subject(repo, oid), False))
    return tuple(found)


def follow(repo: Repository, branch: str | None, target: str) -> str:
    """Let a branch (the current one by default) follow `REMOTE/BRANCH`, or a branch of this repository; return which branch.

    Raises UnknownRevision when neither is known here.
    """
    name = branch or repo.branch_name()
    if name is None:
        raise UnknownRevision("HEAD is on no branch", hint="envgit branch -u REMOTE/BRANCH NAME")
    if repo.branch_name() != name:
        _existing(repo, name)
    for remote in list_remotes(repo):
        for ref, _ in repo.refs.iter_refs(f"{TRACKING_PREFIX}{remote.name}/"):
            short = ref.removeprefix(f"{TRACKING_PREFIX}{remote.name}/")
            if target in (ref, f"{remote.name}/{short}") and remote.tracking(BRANCH_PREFIX + short) == ref:
                set_upstream(repo, name, remote.name, BRANCH_PREFIX + short)
                return name
    if repo.refs.resolve(BRANCH_PREFIX + target) is not None and target != name:
        set_upstream(repo, name, ".", BRANCH_PREFIX + target)
        return name
    known = [each.name for each in list_remembered(repo)]
    raise UnknownRevision(
        f"no branch {without_password(target)!r} of a remote is known here",
        hint=did_you_mean(target, known) or "fetch it first: envgit fetch",
    )


def read_subject(repo: Repository, oid: bytes) -> str:
    """Return the first line of a commit's message."""
    message = parse_commit(repo.objects.read(oid)[1]).message
    return message.partition(b"\n")[0].decode(errors="replace")


def create_branch(repo: Repository, name: str, start: str = "HEAD", force: bool = False) -> BranchResult:
    """Create a branch at a revision, or with `force` move an existing one; HEAD stays where it is."""
    check_branch_name(name)
    with repo.operation(["branch", name, start]) as transaction:
        previous = repo.refs.resolve(BRANCH_PREFIX + name)
        if previous is not None and not force:
            raise InvalidName(f"branch {name} exists already", hint=f"move it with: envgit branch -f {name} {start}")
        if force and repo.branch_name() == name:
            raise Conflict(f"{name} is checked out", hint=f"move it with: envgit reset {start}")
        oid = repo.resolve_bytes(start)
        if oid != previous:
            release_worktree(repo, transaction, name, previous)
        transaction.set_ref(BRANCH_PREFIX + name, oid)
        done = transaction.finish(f"branch: Created from {start}")
    return BranchResult(name, oid.hex(), hex_or_none(previous), done.number)


def release_worktree(repo: Repository, transaction: Transaction, branch: str, tip: bytes | None) -> None:
    """Part a branch that is created, moved or deleted from its worktree; `tip` is where it was, None: nowhere.

    Without this a base that is not the new tip would show up as changes that nobody made. Raises Conflict when there are
    uncommitted changes or a running sandbox.
    """
    from envgit.status import is_dirty

    claim_worktree(repo, transaction, repo.read_pointer(branch, tip))
    if is_dirty(repo, branch, tip):
        raise Conflict(
            f"branch {branch} has uncommitted changes",
            hint=f"look at them with: envgit checkout {branch}; or delete with: envgit branch -D {branch}",
        )
    transaction.set_worktree(worktree_name(branch), None)


def delete_branches(repo: Repository, names: Sequence[str], force: bool = False) -> tuple[BranchResult, ...]:
    """Delete branches in one operation. Without `force` each must be merged into HEAD and have no uncommitted changes."""
    results = []
    with repo.operation(["branch", "-D" if force else "-d", *names]) as transaction:
        head = repo.read_head().oid
        for name in names:
            if force and name != repo.branch_name() and repo.refs.remove_damaged(BRANCH_PREFIX + name):
                repo.monitor.warn(f"branch {name} was damaged: its file is removed")
                continue
            oid = _existing(repo, name)
            if name == repo.branch_name():
                raise Conflict(f"{name} is checked out", hint="switch away first: envgit checkout OTHER")
            if not force and (head is None or not is_ancestor(repo.objects, oid, head)):
                raise Conflict(
                    f"branch {name} is not merged into HEAD", hint=f"delete it with: envgit branch -D {name}"
                )
            if force:
                claim_worktree(repo, transaction, repo.read_pointer(name, oid))
                transaction.set_worktree(worktree_name(name), None)
            else:
                release_worktree(repo, transaction, name, oid)
            transaction.set_ref(BRANCH_PREFIX + name, None)
            results.append((name, oid))
        done = transaction.finish("branch: deleted")
        for name, _ in results:
            unset_upstream(repo, name)
    return tuple(BranchResult(name, oid.hex(), oid.hex(), done.number) for name, oid in results)


def rename_branch(repo: Repository, old: str | None, new: str, force: bool = False) -> BranchResult:
    """Rename a branch (the current one by default) with its uncommitted changes."""
    check_branch_name(new)
    with repo.operation(["branch", "-m", *([old] if old else []), new]) as transaction:
        name = old or repo.branch_name()
        if name is None:
            raise UnknownRevision("HEAD is detached: there is no current branch", hint=f"envgit branch -m OLD {new}")
        unborn = name == repo.branch_name() and repo.read_head().oid is None
        oid = None if unborn else _existing(repo, name)
        if repo.refs.resolve(BRANCH_PREFIX + new) is not None and not force and new != name:
            raise InvalidName(f"branch {new} exists already", hint=f"replace it with: envgit branch -M {name} {new}")
        word = repo.read_pointer_word(worktree_name(name))
        if new != name:
            if oid is not None:
                transaction.set_ref(BRANCH_PREFIX + name, None)
                transaction.set_ref(BRANCH_PREFIX + new, oid)
            transaction.set_worktree(worktree_name(name), None)
            transaction.set_worktree(worktree_name(new), word)
        if name == repo.branch_name():
            transaction.set_head(BRANCH_PREFIX + new)
        done = transaction.finish(f"Branch: renamed {BRANCH_PREFIX}{name} to {BRANCH_PREFIX}{new}")
        upstream = read_upstream(repo, name)
        if upstream is not None and new != name:
            unset_upstream(repo, name)
            set_upstream(repo, new, upstream.remote, upstream.ref)
    return BranchResult(new, oid.hex() if oid else "", name, done.number)


def _existing(repo: Repository, name: str) -> bytes:
    oid = repo.refs.resolve(BRANCH_PREFIX + name)
    if oid is None:
        raise UnknownRevision(f"there is no branch {name}", hint="envgit branch lists them")
    return oid

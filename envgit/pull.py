"""Pull: fetch what the current branch follows, and move the branch ahead to it."""

from __future__ import annotations

from typing import NamedTuple

from envgit.errors import Conflict, UnknownRevision, UsageError
from envgit.fetch import FetchOptions, FetchResult, fetch
from envgit.forwarding import Forwarded, forward_branch
from envgit.remotes.configuration import Upstream, list_remotes, read_upstream, require_remote
from envgit.remotes.divergence import count_only
from envgit.remotes.signed_line import commits_to_sign
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.store.history import is_ancestor
from envgit.tag import peel
from envgit.transfer.missing import MissingWalk


class PullResult(NamedTuple):
    """`forwarded` None: there was nothing new. `commits` that the branch has more now."""

    fetched: FetchResult
    branch: str
    upstream: str
    forwarded: Forwarded | None
    commits: int
    operation: int


def pull(
    repo: Repository, remote: str | None = None, branch: str | None = None, *, verify_signatures: bool = False
) -> PullResult:
    """Fetch, then move the current branch ahead to what it follows, or to `branch` of `remote`; both can be undone.

    Uncommitted changes stay, on top of the new commit. Raises Conflict when the two have gone apart (it says how to go on), when
    uncommitted changes meet what came, or a sandbox runs in the worktree; what was fetched is there in any case.
    """
    current = repo.branch_name()
    if current is None:
        raise UsageError("HEAD is on no branch", hint="envgit checkout BRANCH, then envgit pull; or only: envgit fetch")
    upstream = _find_upstream(repo, current, remote, branch)
    options = FetchOptions(verify_signatures=verify_signatures)
    if not upstream.tracking:
        options = options._replace(refspecs=(upstream.ref,))
    fetched = fetch(repo, upstream.remote if upstream.remote != "." else None, options)
    theirs = next((change.new for change in fetched.changes if change.source == upstream.ref), None)
    if theirs is None and upstream.tracking:
        theirs = repo.refs.resolve(upstream.tracking)
    shown = _shown(upstream)
    if theirs is None or not any(change.source == upstream.ref for change in fetched.changes):
        raise UnknownRevision(
            f"{shown}, which {current} follows, does not exist any more",
            hint=f"follow another: envgit branch -u {upstream.remote}/NAME",
        )
    if verify_signatures:
        _require_signatures(repo, current, upstream.ref, theirs)
    return _advance(repo, current, shown, peel(repo, theirs), fetched)


def _require_signatures(repo: Repository, current: str, ref: str, theirs: bytes) -> None:
    """Raise UnverifiedCommit unless all that the branch would get is signed: an earlier fetch may have asked for nothing."""
    from envgit.verify import require_signatures

    ours = repo.refs.resolve(BRANCH_PREFIX + current)
    known = [ours] if ours is not None else []
    require_signatures(repo, commits_to_sign(repo, ref, theirs, known, repo.objects.read))


def _find_upstream(repo: Repository, current: str, remote: str | None, branch: str | None) -> Upstream:
    upstream = read_upstream(repo, current)
    if remote is None:
        if upstream is not None and upstream.remote != ".":
            return upstream
        names = [each.name for each in list_remotes(repo)]
        where = names[0] if names else "origin"
        known = f"envgit branch -u {where}/{current}" if names else "envgit remote add origin URL"
        raise UsageError(f"branch {current} follows nothing", hint=f"{known}; or once: envgit pull {where} {current}")
    if branch is None and upstream is not None and upstream.remote == remote:
        return upstream
    ref = branch or current
    ref = ref if ref.startswith("refs/") else BRANCH_PREFIX + ref
    if "/" in remote or ":" in remote:
        return Upstream(remote, ref, "")
    return Upstream(remote, ref, require_remote(repo, remote).tracking(ref) or "")


def _shown(upstream: Upstream) -> str:
    return f"{upstream.remote}/{upstream.ref.removeprefix(BRANCH_PREFIX)}"


def _advance(repo: Repository, current: str, shown: str, theirs: bytes, fetched: FetchResult) -> PullResult:
    with repo.operation(["pull"]) as transaction:
        ours = repo.refs.resolve(BRANCH_PREFIX + current)
        if ours is not None and is_ancestor(repo.objects, theirs, ours):
            return PullResult(fetched, current, shown, None, 0, 0)
        if ours is not None and not is_ancestor(repo.objects, ours, theirs):
            raise _diverged(repo, current, shown, ours, theirs)
        commits = len(MissingWalk(repo.objects, [theirs], [ours] if ours is not None else []).commits)
        forwarded = forward_branch(repo, transaction, theirs, current)
        done = transaction.finish(f"pull: Fast-forward to {shown}")
    return PullResult(fetched, current, shown, forwarded, commits, done.number)


def _diverged(repo: Repository, current: str, shown: str, ours: bytes, theirs: bytes) -> Conflict:
    mine, new = count_only(repo, ours, theirs), count_only(repo, theirs, ours)
    return Conflict(
        f"{current} and {shown} have gone apart: {mine} {_commits(mine)} only here, {new} only there",
        hint=(
            f"keep yours aside and take theirs: envgit branch mine; envgit reset --hard {shown}; then, path by path: "
            "envgit restore --source mine PATH. Or push yours under another name: "
            f"envgit push {shown.partition('/')[0]} {current}:NAME"
        ),
    )


def _commits(count: int) -> str:
    return "commit" if count == 1 else "commits"

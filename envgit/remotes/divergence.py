"""How far a branch and what it follows have gone apart."""

from __future__ import annotations

from typing import NamedTuple

from envgit.remotes.configuration import Upstream, read_upstream
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.transfer.missing import MissingWalk


class Divergence(NamedTuple):
    """Commits that only the branch has, and only its upstream; `gone`: the upstream is not known here any more."""

    upstream: Upstream
    ahead: int
    behind: int
    gone: bool = False


def compare_with_upstream(repo: Repository, branch: str) -> Divergence | None:
    """Return how a branch stands to what it follows; None when it follows nothing."""
    upstream = read_upstream(repo, branch)
    if upstream is None:
        return None
    ours = repo.refs.resolve(BRANCH_PREFIX + branch)
    theirs = repo.refs.resolve(upstream.tracking) if upstream.tracking else None
    if theirs is None:
        return Divergence(upstream, 0, 0, gone=True)
    if ours is None:
        return Divergence(upstream, 0, len(MissingWalk(repo.objects, [theirs], []).commits))
    if ours == theirs:
        return Divergence(upstream, 0, 0)
    return Divergence(upstream, count_only(repo, ours, theirs), count_only(repo, theirs, ours))


def count_only(repo: Repository, start: bytes, other: bytes) -> int:
    """Return how many commits `start` reaches and `other` does not. History that both have is not walked."""
    return len(MissingWalk(repo.objects, [start], [other]).commits)

"""What a build takes the place of: commits made by hand that its result does not hold, or the build of another environment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from envgit.building.build_index import BUILDS_PREFIX
from envgit.building.holding import plain_name
from envgit.repo import Repository
from envgit.snapshot import BUILD_TRAILER, LAYER_TRAILER, read_digest, read_trailer
from envgit.store.history import iter_commits
from envgit.store.objects import Commit, parse_commit
from envgit.store.shallow import visible_parents

JOIN_SUBJECT = b"build "
"""What the message of a commit begins with that joins a branch and a build."""


class Replaced(NamedTuple):
    """A commit that stays in the history of the branch, and whose files do not."""

    oid: str
    subject: str


def replaced_commits(repo: Repository, tip: bytes, kept: bytes | None) -> tuple[Replaced, ...]:
    """Return the commits made by hand that `tip` has and `kept` has not, the tip's first; none below an earlier build: that one
    replaced them."""
    objects = repo.objects
    seen = set(iter_commits(objects, [kept])) if kept is not None else set()
    found = []
    stack = [tip]
    while stack:
        oid = stack.pop()
        if oid in seen:
            continue
        seen.add(oid)
        commit = _read(repo, oid)
        if read_digest(commit.message, BUILD_TRAILER) is not None or _joins(repo, commit):
            continue
        subject = commit.message.partition(b"\n")[0].decode("utf-8", "replace")
        found.append(Replaced(oid.hex(), subject))
        if read_trailer(commit.message, LAYER_TRAILER) is None:  # the layers below are the same image's
            stack.extend(reversed(commit.parents))
    return tuple(found)


def other_build(repo: Repository, tip: bytes, own: Collection[str]) -> str:
    """Return the name of the environment or stage whose last build `tip` is, "" when it is one of `own`, or none."""
    commit = _read(repo, tip)
    joins = _joins(repo, commit)
    names = [
        name.removeprefix(BUILDS_PREFIX)
        for name, oid in repo.refs.iter_refs(BUILDS_PREFIX)
        if oid == tip or (joins and repo.objects.contains(oid) and _read(repo, oid).tree == commit.tree)
    ]
    if not names or {plain_name(name) for name in own}.intersection(names):
        return ""
    return names[0]


def _joins(repo: Repository, commit: Commit) -> bool:
    """Say whether a build made the commit to land on a branch: its tree is that of the build, which lies below it."""
    if not commit.message.startswith(JOIN_SUBJECT):
        return False
    if any(_read(repo, parent).tree == commit.tree for parent in commit.parents[1:]):
        return True
    return any(_read(repo, oid).tree == commit.tree for oid in iter_commits(repo.objects, commit.parents))


def _read(repo: Repository, oid: bytes) -> Commit:
    """Read a commit; where history is cut short, one without parents."""
    commit = parse_commit(repo.objects.read(oid)[1])
    return replace(commit, parents=visible_parents(repo.objects, oid, commit.parents))

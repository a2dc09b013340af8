"""History: which commits, in which order, and what each changed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from envgit.diff import Diff, open_commit_diff
from envgit.errors import UnknownRevision, UsageError
from envgit.repo import BRANCH_PREFIX, TAG_PREFIX, Repository
from envgit.snapshot import strip_trailers
from envgit.store.dates import parse_date
from envgit.store.history import iter_commits
from envgit.store.objects import Commit, parse_commit
from envgit.store.revisions import resolve_range


class LogEntry(NamedTuple):
    """`commit.message` is without envgit's own trailers. `cut`: history is cut short there, its parents are left out."""

    oid: str
    commit: Commit
    parents: tuple[str, ...]
    decorations: tuple[str, ...]
    cut: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The decorations, with git's word for a commit at which history is cut short."""
        return ("grafted", *self.decorations) if self.cut else self.decorations


def read_log(
    repo: Repository,
    revisions: Sequence[str],
    paths: Sequence[bytes] = (),
    *,
    max_count: int | None = None,
    skip: int = 0,
    since: str | None = None,
    until: str | None = None,
    author: str | None = None,
    grep: str | None = None,
    first_parent: bool = False,
    all: bool = False,
    reverse: bool = False,
    topo: bool = False,
) -> Iterator[LogEntry]:
    """Yield commits reachable from `revisions` (HEAD by default; ranges and ^REV understood), as git log selects them."""
    starts, excluded = _select(repo, revisions, all)
    if not starts:
        return
    not_before = parse_date(since, repo.now()) if since else None
    not_after = parse_date(until, repo.now()) if until else None
    decorations = read_decorations(repo)
    cut = repo.objects.shallow()
    by, about = _pattern("author", author), _pattern("grep", grep)

    def wanted(oid: bytes, commit: Commit) -> bool:
        seconds = commit.committer.seconds
        if (not_before is not None and seconds < not_before) or (not_after is not None and seconds > not_after):
            return False
        who = commit.author.name + b" <" + commit.author.email + b">"
        if by is not None and not by.search(who):
            return False
        if about is not None and not about.search(strip_trailers(commit.message)):
            return False
        return not paths or any(True for _ in open_commit_diff(repo, oid, paths, with_mtime=False).changes)

    def entries() -> Iterator[LogEntry]:
        found = 0
        if max_count == 0:
            return
        for oid in iter_commits(repo.objects, starts, excluded, first_parent=first_parent, topo=topo):
            commit = parse_commit(repo.objects.read(oid)[1])
            if not wanted(oid, commit):
                continue
            found += 1
            if found <= skip:
                continue
            yield make_entry(oid, commit, decorations, cut)
            if max_count is not None and found == skip + max_count:
                return  # and not look for one more: with paths that may be the whole history

    yield from reversed(list(entries())) if reverse else entries()


def _pattern(option: str, text: str | None) -> re.Pattern[bytes] | None:
    try:
        return None if text is None else re.compile(os.fsencode(text))
    except re.error as error:
        raise UsageError(f"--{option}={text} is not a regular expression: {error}") from None


def make_entry(
    oid: bytes, commit: Commit, decorations: dict[bytes, tuple[str, ...]], shallow: frozenset[bytes]
) -> LogEntry:
    """Return a commit as the log shows it."""
    from dataclasses import replace

    shown = replace(commit, message=strip_trailers(commit.message))
    cut = oid in shallow and bool(commit.parents)
    parents = () if cut else tuple(parent.hex() for parent in commit.parents)
    return LogEntry(oid.hex(), shown, parents, decorations.get(oid, ()), cut)


def commit_changes(repo: Repository, oid: str, paths: Sequence[bytes] = (), with_mtime: bool = False) -> Diff:
    """Return what a commit changed against its first parent."""
    return open_commit_diff(repo, bytes.fromhex(oid), paths, with_mtime=with_mtime)


def read_decorations(repo: Repository) -> dict[bytes, tuple[str, ...]]:
    """Return the names that point at each commit, as git log --decorate words them."""
    from envgit.tag import peel

    head = repo.read_head()
    names: dict[bytes, list[str]] = {}
    if head.oid is not None and head.symbolic is not None:
        names[head.oid] = [f"HEAD -> {head.symbolic.removeprefix(BRANCH_PREFIX)}"]
    elif head.oid is not None:
        names[head.oid] = ["HEAD"]
    for ref, oid in sorted(repo.iter_refs(TAG_PREFIX)):
        names.setdefault(peel(repo, oid), []).append(f"tag: {ref.removeprefix(TAG_PREFIX)}")
    for ref, oid in sorted(repo.iter_refs(BRANCH_PREFIX)):
        if ref != head.symbolic:
            names.setdefault(oid, []).append(ref.removeprefix(BRANCH_PREFIX))
    for ref, oid in sorted(repo.iter_refs("refs/remotes/")):
        names.setdefault(oid, []).append(ref.removeprefix("refs/remotes/"))
    return {oid: tuple(found) for oid, found in names.items()}


def _select(repo: Repository, revisions: Sequence[str], all: bool) -> tuple[list[bytes], list[bytes]]:
    starts: list[bytes] = []
    excluded: list[bytes] = []
    if all:
        from envgit.tag import peel

        for prefix in (BRANCH_PREFIX, TAG_PREFIX, "refs/remotes/"):
            tips = [peel(repo, oid) for _, oid in repo.iter_refs(prefix)]
            starts += [oid for oid in tips if repo.objects.read(oid)[0] == "commit"]
    if not revisions and not all:
        if repo.read_head().oid is None:
            raise UnknownRevision(
                f"branch {repo.branch_name()} has no commits yet", hint="envgit import --from host makes the first one"
            )
        revisions = ["HEAD"]
    for revision in revisions:
        included, left_out = resolve_range(repo.objects, repo.refs, revision)
        starts += included
        excluded += left_out
    head = repo.read_head().oid
    if all and head is not None:
        starts.append(head)
    return starts, excluded

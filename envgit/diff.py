"""Diff: what differs between two revisions, or between a revision and the worktree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from envgit.errors import UnknownRevision, UsageError
from envgit.layers.compare import diff_trees
from envgit.model import Change, DirectoryRef, TreeReader
from envgit.repo import Repository
from envgit.snapshot import read_snapshot
from envgit.status import empty_root, open_worktree_tree
from envgit.store.shallow import GET_MORE, visible_parents


class Diff(NamedTuple):
    """`changes` in path order, computed while it is iterated; `reader` gives the content of old and new sides."""

    changes: Iterator[Change]
    reader: TreeReader


def open_diff(
    repo: Repository,
    revisions: Sequence[str],
    paths: Sequence[bytes] = (),
    *,
    with_mtime: bool = False,
    reverse: bool = False,
) -> Diff:
    """Compare as git diff does: none: HEAD with the worktree; one: REV with the worktree, or `A..B`/`A...B`; two: A with B."""
    old, new, reader = select_sides(repo, revisions)
    if reverse:
        old, new = new, old
    return Diff(diff_trees(old, new, reader, paths=paths, with_mtime=with_mtime), reader)


def open_commit_diff(repo: Repository, oid: bytes, paths: Sequence[bytes] = (), *, with_mtime: bool = False) -> Diff:
    """Compare a commit with its first parent (the first commit, also of a history that is cut short, with nothing)."""
    snapshot = read_snapshot(repo.objects, oid)
    parents = visible_parents(repo.objects, oid, snapshot.commit.parents)
    old = read_snapshot(repo.objects, parents[0]).root if parents else None
    return Diff(diff_trees(old, snapshot.root, repo.reader, paths=paths, with_mtime=with_mtime), repo.reader)


def select_sides(
    repo: Repository, revisions: Sequence[str]
) -> tuple[DirectoryRef | None, DirectoryRef | None, TreeReader]:
    """Return what `open_diff` compares, and what reads both; None is a tree that is not there."""
    if len(revisions) > 2:
        raise UsageError("a diff compares two revisions", hint="envgit diff A B -- PATH...")
    if len(revisions) == 2:
        return _root(repo, revisions[0]), _root(repo, revisions[1]), repo.reader
    spec = revisions[0] if revisions else None
    if spec is not None and "..." in spec:
        from envgit.store.history import merge_base

        left, right = (repo.resolve_bytes(side or "HEAD") for side in spec.split("...", 1))
        base = merge_base(repo.objects, left, right)
        if base is None and repo.objects.shallow():
            raise UnknownRevision(f"history is cut short here, before {spec} have a common ancestor", hint=GET_MORE)
        old = read_snapshot(repo.objects, base).root if base is not None else None
        return old, read_snapshot(repo.objects, right).root, repo.reader
    if spec is not None and ".." in spec:
        left_spec, _, right_spec = spec.partition("..")
        return _root(repo, left_spec or "HEAD"), _root(repo, right_spec or "HEAD"), repo.reader
    head = repo.read_head().oid
    if spec is None and head is None:
        return empty_root(repo), *_worktree(repo)
    old = _root(repo, spec or "HEAD")
    return old, *_worktree(repo)


def _worktree(repo: Repository) -> tuple[DirectoryRef, TreeReader]:
    tree = open_worktree_tree(repo)
    return tree.root, tree.reader


def _root(repo: Repository, revision: str) -> DirectoryRef:
    return read_snapshot(repo.objects, repo.resolve_bytes(revision)).root

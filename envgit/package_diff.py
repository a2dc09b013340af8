"""Which packages differ between two revisions, or between a revision and the worktree."""

from __future__ import annotations

from collections.abc import Sequence

from envgit.diff import select_sides
from envgit.environment_view import EnvironmentView
from envgit.errors import EnvgitError
from envgit.layers.compare import same_ref
from envgit.light_typing import NamedTuple
from envgit.model import DirectoryRef, TreeReader
from envgit.packages.comparing import PackageChange, compare_packages
from envgit.packages.reading import DATABASES
from envgit.packages.summary import summarise_changes
from envgit.repo import Repository
from envgit.snapshot import read_snapshot
from envgit.status import open_worktree_tree


class PackageDiff(NamedTuple):
    """`changes` by manager, place and name; `notices`: what was skipped in the new tree, one line each."""

    changes: tuple[PackageChange, ...]
    notices: tuple[str, ...]


def diff_packages(repo: Repository, revisions: Sequence[str], *, reverse: bool = False) -> PackageDiff:
    """Compare as `diff` does: none: HEAD with the worktree; one: REV with the worktree, or `A..B`/`A...B`; two: A with B."""
    old, new, reader = select_sides(repo, revisions)
    return diff_package_trees(new, old, reader) if reverse else diff_package_trees(old, new, reader)


def diff_package_trees(old: DirectoryRef | None, new: DirectoryRef | None, reader: TreeReader) -> PackageDiff:
    """Compare two trees (None: an empty one) that `reader` reads both."""
    if same_ref(old, new):
        return PackageDiff((), ())
    notices: list[str] = []
    views = EnvironmentView(reader, old), EnvironmentView(reader, new)
    changes = compare_packages(*views, frozenset(DATABASES), notices.append)
    return PackageDiff(tuple(changes), tuple(notices))


def suggest_message(old: DirectoryRef | None, new: DirectoryRef, reader: TreeReader) -> str | None:
    """Return a commit message from the packages that differ, None when none do or they cannot be read: a suggestion
    never keeps anybody from committing."""
    try:
        return summarise_changes(diff_package_trees(old, new, reader).changes)
    except (EnvgitError, OSError):
        return None


def suggest_worktree_message(repo: Repository) -> str | None:
    """Return a message for a commit of the worktree. May enter the tree namespace."""
    head = repo.read_head().oid
    if head is None:
        return None
    try:
        old = read_snapshot(repo.objects, head).root
        new, reader = open_worktree_tree(repo)
    except (EnvgitError, OSError):
        return None
    return suggest_message(old, new, reader)

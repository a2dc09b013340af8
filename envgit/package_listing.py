"""List the packages that a revision, or the worktree, says it has."""

from __future__ import annotations

from collections.abc import Sequence

from envgit.environment_view import EnvironmentView
from envgit.errors import UsageError
from envgit.light_typing import NamedTuple
from envgit.packages.package import Package
from envgit.packages.reading import DATABASES, read_packages
from envgit.repo import Repository
from envgit.snapshot import read_snapshot
from envgit.status import open_worktree_tree

MANAGERS = tuple(DATABASES)


class PackageListing(NamedTuple):
    """`oid`: the commit that was read, None for the worktree. `notices`: what was skipped or is incomplete, one line each."""

    packages: tuple[Package, ...]
    oid: str | None
    notices: tuple[str, ...]


def list_packages(repo: Repository, revision: str | None = "HEAD", *, managers: Sequence[str] = ()) -> PackageListing:
    """Read the databases of the managers named (all by default) in a revision, or with None in the worktree.

    Nothing of the environment is executed. Raises UsageError for an unknown manager.
    """
    unknown = [name for name in managers if name not in MANAGERS]
    if unknown:
        raise UsageError(
            f"{unknown[0]!r} is no package manager that envgit knows", hint=f"one of: {', '.join(MANAGERS)}"
        )
    notices: list[str] = []
    oid = None if revision is None else repo.resolve_bytes(revision)
    if oid is None:
        root, reader = open_worktree_tree(repo)
        view = EnvironmentView(reader, root)
    else:
        view = EnvironmentView(repo.reader, read_snapshot(repo.objects, oid).root)
    packages = read_packages(view, frozenset(managers or MANAGERS), notices.append)
    return PackageListing(tuple(packages), None if oid is None else oid.hex(), tuple(notices))

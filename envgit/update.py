"""Update: build again with newer packages than envgit.lock has, and say what moved."""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches
from typing import NamedTuple

from envgit.build import BuildResult, build_environment
from envgit.building.loading import BuildRequest, load_recipe
from envgit.building.locking import PackageMove, compare_packages
from envgit.building.progress import BuildProgress
from envgit.declaration.lock_file import LockedEnvironment
from envgit.errors import UsageError
from envgit.repo import Repository


class Update(NamedTuple):
    """`moves`: the packages whose line of the lock changed; `base_moved`: the base's files are others than before."""

    name: str
    result: BuildResult
    moves: tuple[PackageMove, ...]
    base_moved: bool


def update_environment(
    repo: Repository, request: BuildRequest, packages: Collection[str] = (), progress: BuildProgress | None = None
) -> Update:
    """Build what a declaration asks for without the versions that the lock keeps: of `packages`, or of all and of the base.

    Writes envgit.lock. Raises UsageError when there is no lock, or no such package in it; and as build_environment() does.
    """
    options = request.options._replace(update=frozenset(packages), pull=request.options.pull or not packages)
    loaded = load_recipe(repo, request)
    locked = loaded.locked
    if loaded.environment is None:
        raise UsageError("a Dockerfile has no lock to move", hint="envgit build --no-cache --pull")
    if locked is None:
        raise UsageError(
            f"{loaded.environment.name!r} was not built yet: there is no lock to move", hint="envgit build writes it"
        )
    names = frozenset(_find(locked, word) for word in packages)
    result = build_environment(repo, request._replace(options=options._replace(update=names)), progress)
    after = load_recipe(repo, request).locked or locked
    return Update(locked.name, result, compare_packages(locked.packages, after.packages), locked.base != after.base)


def _find(locked: LockedEnvironment, word: str) -> str:
    """Return a package's name as the lock spells it. Raises UsageError."""
    names = sorted({package.name for package in locked.packages})
    folded = re.sub(r"[-_.]+", "-", word).lower()
    for wanted in (word, folded):
        if wanted in names:
            return wanted
    near = get_close_matches(word, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else "envgit.lock lists them; envgit update moves all"
    raise UsageError(f"the lock of {locked.name!r} has no package {word!r}", hint=hint)

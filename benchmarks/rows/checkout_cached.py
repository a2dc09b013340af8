"""Checkout of a revision whose layers are cached."""

from __future__ import annotations

from ..bench import Bench
from ..contender import Contender
from ..peers.envgit import Envgit
from ..peers.git import Git
from ..row import Race, Row
from ..target import AtMostSeconds
from ..trees import copy, describe

_INSTALL = ("sh", "-c", "cp -a /mnt/. /srv/")
_BRANCHES = ("main", "packages")


def races(bench: Bench) -> list[Race]:
    """Two branches that differ by the Python packages; each round switches to the other one."""
    base, packages = bench.trees.base, bench.trees.packages
    contenders = [_envgit(bench.envgit, base, packages)]
    if bench.git:
        contenders.append(_git(bench.git, base, packages))
    note = f"the branches differ by {describe(packages)}"
    return [Race("checkout of a cached revision", contenders, [AtMostSeconds(0.05)], note=note, repeats=2)]


def _envgit(envgit: Envgit, base: str, packages: str) -> Contender:
    project = envgit.create(envgit.workspace.path("checkout-envgit"), base)
    envgit.do(project, "checkout", "-b", "packages")
    envgit.do(project, "run", "-v", f"{packages}:/mnt:ro", "--", *_INSTALL)
    envgit.do(project, "commit", "-m", "packages")
    return Contender(
        envgit.name, folder=project, commands=lambda round: [envgit.command("checkout", _BRANCHES[round % 2])]
    )


def _git(git: Git, base: str, packages: str) -> Contender:
    tree = copy(base, git.workspace.path("checkout-tree"))
    git_dir = git.create_from(git.workspace.path("checkout-git"), tree)
    git.workspace.run(*git.command(git_dir, tree, "checkout", "--quiet", "-b", "packages"))
    copy(f"{packages}/.", f"{tree}/srv/")
    git.record(git_dir, tree)
    return Contender(
        git.name,
        commands=lambda round: [git.command(git_dir, tree, "checkout", "--quiet", _BRANCHES[round % 2])],
    )


ROW = Row("checkout", races)

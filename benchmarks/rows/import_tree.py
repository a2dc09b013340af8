"""Import of a Debian root filesystem."""

from __future__ import annotations

from ..bench import Bench
from ..contender import Contender
from ..peers.envgit import IMPORTED, Envgit
from ..peers.git import Git
from ..peers.ostree import Ostree
from ..row import Race, Row
from ..target import AtMostRatio
from ..trees import describe


def races(bench: Bench) -> list[Race]:
    """Import the base tree into a fresh repository; the tree is in the page cache for everybody."""
    tree = bench.trees.base
    contenders = [_envgit(bench.envgit, tree)]
    if bench.git:
        contenders.append(_git(bench.git, tree))
    if bench.ostree:
        contenders.append(_ostree(bench.ostree, tree))
    targets = [AtMostRatio(0.5, "git"), AtMostRatio(0.6, "ostree")]
    return [Race("import of a Debian root filesystem", contenders, targets, note=describe(tree))]


def _envgit(envgit: Envgit, tree: str) -> Contender:
    project = envgit.workspace.path("import-envgit")
    return Contender(
        envgit.name,
        commands=lambda _: [envgit.init(project, tree)],
        clean=lambda _: envgit.workspace.remove(project),
        statuses=IMPORTED,
    )


def _git(git: Git, tree: str) -> Contender:
    git_dir = git.workspace.path("import-git")

    def prepare(_round: int) -> None:
        git.create(git_dir)

    return Contender(
        git.name,
        prepare=prepare,
        commands=lambda _: git.commit_all(git_dir, tree),
        clean=lambda _: git.workspace.remove(git_dir),
    )


def _ostree(ostree: Ostree, tree: str) -> Contender:
    repository = ostree.workspace.path("import-ostree")
    return Contender(
        ostree.name,
        prepare=lambda _: ostree.create(repository),
        commands=lambda _: [ostree.commit(repository, tree)],
        clean=lambda _: ostree.workspace.remove(repository),
    )


ROW = Row("import", races)

"""Memory: one huge file, and very many small ones."""

from __future__ import annotations

from ..bench import Bench
from ..contender import Contender
from ..peers.envgit import IMPORTED, Envgit
from ..peers.git import Git
from ..row import Race, Row
from ..target import AtMostBytes
from ..trees import describe, write_big_file, write_files

_LIMIT = AtMostBytes(300_000_000)


def races(bench: Bench) -> list[Race]:
    """Imports whose peak of resident memory counts; once each. git imports the huge file for comparison."""
    size, count = (256 << 20, 30_000) if bench.quick else (4 << 30, 300_000)
    huge = bench.workspace.make("memory-huge")
    write_big_file(f"{huge}/huge.bin", size)
    many = write_files(bench.workspace.path("memory-many"), count, size=100, per_folder=100)
    contenders = [_envgit(bench.envgit, huge)]
    if bench.git:
        contenders.append(_git(bench.git, huge))
    return [
        Race("memory: import of one huge file", contenders, [_LIMIT], note=describe(huge), repeats=0),
        Race("memory: import of many files", [_envgit(bench.envgit, many)], [_LIMIT], note=describe(many), repeats=0),
    ]


def _envgit(envgit: Envgit, tree: str) -> Contender:
    project = envgit.workspace.path("memory-envgit")
    return Contender(
        envgit.name,
        commands=lambda _: [envgit.init(project, tree)],
        clean=lambda _: envgit.workspace.remove(project),
        statuses=IMPORTED,
    )


def _git(git: Git, tree: str) -> Contender:
    git_dir = git.workspace.path("memory-git")

    def prepare(_round: int) -> None:
        git.create(git_dir)

    return Contender(
        git.name,
        prepare=prepare,
        commands=lambda _: git.commit_all(git_dir, tree),
        clean=lambda _: git.workspace.remove(git_dir),
    )


ROW = Row("memory", races)

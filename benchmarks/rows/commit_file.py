"""Commit of one changed file in a big environment."""

from __future__ import annotations

from ..bench import Bench
from ..contender import Contender
from ..peers.container import ContainerEngine
from ..peers.envgit import Envgit
from ..peers.git import Git
from ..row import Race, Row
from ..target import AtMostSeconds
from ..trees import copy, describe, write_files

_FILES = 24_000


def races(bench: Bench) -> list[Race]:
    """The base tree with synthetic files up to 24,000; /etc/motd changes before every commit."""
    tree = copy(bench.trees.base, bench.workspace.path("file-tree"))
    entries = int(describe(tree).split(" ")[0].replace(",", ""))
    write_files(f"{tree}/srv/data", max(_FILES - entries, 0), size=4000, per_folder=20)
    contenders = [_envgit(bench.envgit, tree)]
    if bench.git:
        contenders.append(_git(bench.git, tree))
    contenders += [_engine(engine) for engine in bench.engines()]
    work = "commit of one changed file"
    return [Race(work, contenders, [AtMostSeconds(0.1)], note=describe(tree), repeats=2)]


def _envgit(envgit: Envgit, tree: str) -> Contender:
    project = envgit.create(envgit.workspace.path("file-envgit"), tree)
    return Contender(
        envgit.name,
        prepare=lambda round: _change(envgit, project, round),
        folder=project,
        commands=lambda _: [envgit.command("commit", "-m", "one file")],
    )


def _change(envgit: Envgit, project: str, round: int) -> None:
    envgit.do(project, "run", "--", "sh", "-c", f"echo {round} > /etc/motd")


def _git(git: Git, tree: str) -> Contender:
    git_dir = git.create_from(git.workspace.path("file-git"), tree)

    def prepare(round: int) -> None:
        with open(f"{tree}/etc/motd", "w", encoding="ascii") as file:
            file.write(f"{round}\n")

    return Contender(git.name, prepare=prepare, commands=lambda _: git.commit_all(git_dir, tree))


def _engine(engine: ContainerEngine) -> Contender:
    """A container of the base image: engines look at the upper directory only, the other files would change nothing."""

    def prepare(round: int) -> None:
        engine.workspace.run(*engine.run("sh", "-c", f"echo {round} > /etc/motd", keep=f"file-{round}"))

    def clean(round: int) -> None:
        engine.do("rm", f"file-{round}")
        engine.do("rmi", f"file:{round}")

    return Contender(
        engine.name,
        prepare=prepare,
        commands=lambda round: [engine.command("commit", f"file-{round}", f"file:{round}")],
        clean=clean,
    )


ROW = Row("commit-file", races)

"""Status and diff of few changes among very many files."""

from __future__ import annotations

from ..bench import Bench
from ..contender import Contender
from ..peers.container import ContainerEngine
from ..peers.envgit import Envgit
from ..peers.git import Git
from ..row import Race, Row
from ..target import AtMostRatio, AtMostSeconds, Target
from ..trees import copy, describe, write_files

_CHANGES = 10
_SMALL = "envgit, base only"


def races(bench: Bench) -> list[Race]:
    """Ten changed files among 100,000; the same ten in the base tree alone show what the total costs."""
    count = 10_000 if bench.quick else 100_000
    tree = copy(bench.trees.base, bench.workspace.path("status-tree"))
    write_files(f"{tree}/srv/data", count, size=200, per_folder=50)
    small = copy(bench.trees.base, bench.workspace.path("status-small"))
    write_files(f"{small}/srv/data", _CHANGES, size=200, per_folder=50)
    big_project = _changed(bench.envgit, "status-envgit", tree)
    small_project = _changed(bench.envgit, "status-envgit-small", small)
    contenders = {verb: _envgit(bench.envgit, verb, big_project, small_project) for verb in ("status", "diff")}
    if bench.git:
        git_dir = bench.git.create_from(bench.workspace.path("status-git"), tree)
        _change_files(tree)
        for verb, found in contenders.items():
            found.append(_git(bench.git, git_dir, tree, verb))
    contenders["diff"] += [_engine(engine, tree) for engine in bench.engines()]
    targets: list[Target] = [AtMostSeconds(0.05), AtMostRatio(1.3, _SMALL)]
    note = describe(tree)
    return [
        Race(f"{verb} of 10 changed files", found, targets, note=note, repeats=2) for verb, found in contenders.items()
    ]


def _changed(envgit: Envgit, name: str, tree: str) -> str:
    project = envgit.create(envgit.workspace.path(name), tree)
    files = " ".join(f"/srv/data/000/00/file-{number}.txt" for number in range(_CHANGES))
    envgit.do(project, "run", "--", "sh", "-c", f"for f in {files}; do echo changed >> $f; done")
    return project


def _change_files(tree: str) -> None:
    for number in range(_CHANGES):
        with open(f"{tree}/srv/data/000/00/file-{number}.txt", "a", encoding="ascii") as file:
            file.write("changed\n")


def _envgit(envgit: Envgit, verb: str, big: str, small: str) -> list[Contender]:
    return [
        Contender(envgit.name, folder=big, commands=lambda _: [envgit.command(verb)]),
        Contender(_SMALL, folder=small, commands=lambda _: [envgit.command(verb)]),
    ]


def _git(git: Git, git_dir: str, tree: str, verb: str) -> Contender:
    return Contender(git.name, commands=lambda _: [git.command(git_dir, tree, verb)])


def _engine(engine: ContainerEngine, tree: str) -> Contender:
    """`docker diff` and `podman diff` of a container with the same changes."""
    engine.import_tree(tree, "bench:many")
    files = " ".join(f"/srv/data/000/00/file-{number}.txt" for number in range(_CHANGES))
    words = ("sh", "-c", f"for f in {files}; do echo changed >> $f; done")
    engine.workspace.run(*engine.run(*words, image="bench:many", keep="many"))
    return Contender(engine.name, commands=lambda _: [engine.command("diff", "many")])


ROW = Row("status", races)

"""Start of a revision."""

from __future__ import annotations

from collections.abc import Callable

from ..bench import Bench
from ..contender import Contender
from ..peers.container import ContainerEngine
from ..row import Race, Row
from ..target import AtMostRatio, AtMostSeconds, Target
from ..trees import describe


def races(bench: Bench) -> list[Race]:
    """`true` in the base tree with every default (envgit: filter, private network); runc, crun and bwrap start a directory,
    have no network that reaches anything, and keep no images."""
    envgit, base = bench.envgit, bench.trees.base
    project = envgit.create(envgit.workspace.path("start-envgit"), base)
    mine = Contender(envgit.name, folder=project, commands=lambda _: [envgit.command("run", "main", "--", "true")])
    contenders = [mine]
    contenders += [_engine(engine) for engine in bench.engines()]
    contenders += [_runtime(runtime.name, runtime.run) for runtime in (bench.runc, bench.crun) if runtime]
    if bench.bwrap:
        bwrap = bench.bwrap
        contenders.append(Contender(bwrap.name, commands=lambda _: [bwrap.run("true")]))
    targets: list[Target] = [
        AtMostSeconds(0.04), AtMostRatio(1.5, "runc"), AtMostRatio(0.3, "podman"), AtMostRatio(0.2, "docker"),
    ]  # fmt: skip
    return [Race("run REV -- true", contenders, targets, note=describe(base), repeats=4)]


def _engine(engine: ContainerEngine) -> Contender:
    return Contender(engine.name, commands=lambda _: [engine.run("true")])


def _runtime(name: str, command: Callable[[], list[str]]) -> Contender:
    return Contender(name, commands=lambda _: [command()])


ROW = Row("run", races)

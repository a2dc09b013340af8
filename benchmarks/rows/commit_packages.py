"""Commit after installing big Python packages."""

from __future__ import annotations

from ..bench import Bench
from ..contender import Contender
from ..peers.container import ContainerEngine
from ..peers.envgit import Envgit
from ..row import Race, Row
from ..target import AtMostRatio
from ..trees import describe

_INSIDE = "/usr/local/lib/python3/dist-packages"
_INSTALL = ("sh", "-c", f"mkdir -p {_INSIDE} && cp -a /mnt/. {_INSIDE}/")


def races(bench: Bench) -> list[Race]:
    """The packages are copied into a running environment or container; only the commit of them is timed."""
    base, packages = bench.trees.base, bench.trees.packages
    contenders = [_envgit(bench.envgit, base, packages)]
    contenders += [_engine(engine, packages) for engine in bench.engines()]
    targets = [AtMostRatio(0.6, "docker"), AtMostRatio(0.2, "podman")]
    return [Race("commit after pip install", contenders, targets, note=describe(packages))]


def _envgit(envgit: Envgit, base: str, packages: str) -> Contender:
    project = envgit.workspace.path("packages-envgit")

    def prepare(_round: int) -> None:
        envgit.create(project, base)
        envgit.do(project, "run", "-v", f"{packages}:/mnt:ro", "--", *_INSTALL)

    return Contender(
        envgit.name,
        prepare=prepare,
        folder=project,
        commands=lambda _: [envgit.command("commit", "-m", "packages")],
        clean=lambda _: envgit.workspace.remove(project),
    )


def _engine(engine: ContainerEngine, packages: str) -> Contender:
    def prepare(round: int) -> None:
        volume = f"{packages}:/mnt:ro"
        engine.workspace.run(*engine.run(*_INSTALL, keep=f"packages-{round}", volume=volume))

    def clean(round: int) -> None:
        engine.do("rm", f"packages-{round}")
        engine.do("rmi", f"packages:{round}")

    return Contender(
        engine.name,
        prepare=prepare,
        commands=lambda round: [engine.command("commit", f"packages-{round}", f"packages:{round}")],
        clean=clean,
    )


ROW = Row("commit-packages", races)

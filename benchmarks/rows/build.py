"""Builds: one that changes nothing, a plan, and what each step costs over its command."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..bench import Bench
from ..contender import Contender
from ..peers.container import IMAGE, ContainerEngine
from ..row import Race, Row
from ..target import AtMostRatio, AtMostSeconds

STEPS = 10
_STEP_SECONDS = 0.06
_START_SECONDS = 0.15


def races(bench: Bench) -> list[Race]:
    """A Dockerfile of COPY, ENV and ten RUN over the base tree. What is built anew is the same file with another word in every
    RUN; the commands are `true`, so all of the time is overhead. docker uses its classic builder, which this daemon has."""
    envgit, base = bench.envgit, bench.trees.base
    project = envgit.create(envgit.workspace.path("build-envgit"), base)
    _write_context(project, "main", "first")
    envgit.do(project, "build", "--branch", "built")
    unchanged = [
        Contender(envgit.name, folder=project, commands=lambda _: [envgit.command("build", "--branch", "built")])
    ]
    plan = [Contender(envgit.name, folder=project, commands=lambda _: [envgit.command("plan", "--branch", "built")])]
    fresh = envgit.create(envgit.workspace.path("steps-envgit"), base)
    steps = [
        Contender(
            envgit.name,
            folder=fresh,
            prepare=lambda number: _write_context(fresh, "main", f"round {number}"),
            commands=lambda _: [envgit.command("build", "--branch", "built")],
        )
    ]
    for engine in bench.engines():
        folder = engine.workspace.make(f"build-{engine.name}")
        _write_context(folder, IMAGE, "first")
        build = _command(engine, folder)
        engine.workspace.run(*build)
        unchanged.append(Contender(engine.name, commands=lambda _, build=build: [build]))  # type: ignore[misc]
        anew = engine.workspace.make(f"steps-{engine.name}")
        steps.append(
            Contender(
                engine.name,
                prepare=lambda number, anew=anew: _write_context(anew, IMAGE, f"round {number}"),  # type: ignore[misc]
                commands=lambda _, engine=engine, anew=anew: [_command(engine, anew)],  # type: ignore[misc]
            )
        )
    note = f"COPY, ENV and {STEPS} RUN true over the base tree"
    return [
        Race("build, nothing changed", unchanged, [AtMostSeconds(_START_SECONDS)], note),
        Race("plan", plan, [AtMostSeconds(0.2)], note),
        Race(
            f"build of {STEPS} changed steps",
            steps,
            [AtMostSeconds(_START_SECONDS + STEPS * _STEP_SECONDS), AtMostRatio(0.3, "docker")],
            note,
        ),
    ]


def _command(engine: ContainerEngine, folder: str) -> Sequence[str]:
    return engine.command("build", "--network", "none", "--tag", "bench:built", folder)


def _write_context(folder: str, base: str, word: str) -> None:
    os.makedirs(os.path.join(folder, "src"), exist_ok=True)
    with open(os.path.join(folder, "src", "file"), "w", encoding="ascii") as file:
        file.write("content\n")
    lines = [f"FROM {base}", "COPY src /srv/src", "ENV A=b"]
    lines += [f"RUN true {number} {word}" for number in range(STEPS)]
    with open(os.path.join(folder, "Dockerfile"), "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")


ROW = Row("build", races)

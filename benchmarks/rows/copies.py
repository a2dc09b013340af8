"""A hundred sandboxes of one revision at once."""

from __future__ import annotations

import os
import subprocess
import time

from ..bench import Bench
from ..contender import Contender
from ..row import Race, Row
from ..target import AtMostFigure, AtMostSeconds
from ..trees import describe

COPIES = 100
_MOST_MEGABYTES = 1.0
_SETTLING_SECONDS = 1.0


def races(bench: Bench) -> list[Race]:
    """Until all have run `true`; and how much less memory the machine has, for each, while they sleep."""
    envgit, base = bench.envgit, bench.trees.base
    project = envgit.create(envgit.workspace.path("copies-envgit"), base)
    run = envgit.command("run", "-n", str(COPIES), "main", "--")
    contender = Contender(envgit.name, folder=project, commands=lambda _: [[*run, "true"]])
    megabytes = _megabytes_of_each([*run, "sleep", "60"], project, envgit.workspace.environ)
    targets = [AtMostSeconds(1.0), AtMostFigure("MB a sandbox", megabytes, _MOST_MEGABYTES)]
    return [Race(f"run -n {COPIES} REV -- true", [contender], targets, note=describe(base))]


def _megabytes_of_each(command: list[str], project: str, environ: dict[str, str]) -> float:
    """Return by how much MemAvailable falls while the copies sleep (monitor included), divided by their number."""
    subprocess.run(
        [*command[:-2], "true"], cwd=project, env=environ, check=True
    )  # everything is cached and loaded once
    before = _available_kilobytes()
    running = subprocess.Popen(command, cwd=project, env=environ, stdin=subprocess.DEVNULL)
    try:
        while len([name for name in os.listdir(f"{project}/.envgit/sandboxes") if _is_started(project, name)]) < COPIES:
            time.sleep(0.05)
        time.sleep(_SETTLING_SECONDS)
        return (before - _available_kilobytes()) * 1024 / 1e6 / COPIES
    finally:
        running.terminate()
        running.wait()


def _is_started(project: str, id: str) -> bool:
    return os.path.exists(f"{project}/.envgit/sandboxes/{id}/state")


def _available_kilobytes() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))


ROW = Row("copies", races)

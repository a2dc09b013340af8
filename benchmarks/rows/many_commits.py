"""Latency with a long history."""

from __future__ import annotations

from ..bench import Bench
from ..contender import Contender
from ..peers.envgit import Envgit
from ..row import Race, Row
from ..target import AtMostRatio

_FRESH = "envgit, fresh"
_VERBS = ("run", "status", "checkout", "commit")


def races(bench: Bench) -> list[Race]:
    """The same commands in a fresh repository and in one with many commits of one changed file each."""
    count = min(bench.commits, 100) if bench.quick else bench.commits
    envgit, base = bench.envgit, bench.trees.base
    fresh = envgit.create(envgit.workspace.path("history-fresh"), base)
    long = envgit.create(envgit.workspace.path("history-long"), base)
    for number in range(count):
        _change(envgit, long, number)
        envgit.do(long, "commit", "--quiet", "-m", f"number {number}")
    for project in (fresh, long):
        envgit.do(project, "branch", "other")
    return [_race(envgit, verb, fresh, long, count) for verb in _VERBS]


def _race(envgit: Envgit, verb: str, fresh: str, long: str, count: int) -> Race:
    contenders = [_contender(envgit, name, verb, project) for name, project in (("envgit", long), (_FRESH, fresh))]
    return Race(f"{verb} after {count:,} commits", contenders, [AtMostRatio(1.3, _FRESH)], repeats=2)


def _contender(envgit: Envgit, name: str, verb: str, project: str) -> Contender:
    def command(round: int) -> list[str]:
        words = {
            "run": ("run", "main", "--", "true"),
            "status": ("status",),
            "checkout": ("checkout", ("other", "main")[round % 2]),
            "commit": ("commit", "-m", f"round {round}"),
        }
        return envgit.command(*words[verb])

    def prepare(round: int) -> None:
        if verb == "commit":
            _change(envgit, project, 1_000_000 + round)

    return Contender(name, folder=project, prepare=prepare, commands=lambda round: [command(round)])


def _change(envgit: Envgit, project: str, number: int) -> None:
    envgit.do(project, "run", "--", "sh", "-c", f"echo {number} > /etc/motd")


ROW = Row("many-commits", races)

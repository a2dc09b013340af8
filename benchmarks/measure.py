"""Measuring: contenders alternate, round by round, in the same call."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from .command import CommandFailed
from .contender import Contender
from .workspace import Workspace


@dataclass(frozen=True)
class Sample:
    """What one contender needed: seconds of each round, and the largest resident set of any process."""

    name: str
    seconds: tuple[float, ...]
    peak_bytes: int
    failure: str | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def least(self) -> float:
        return min(self.seconds)


def measure(contenders: Sequence[Contender], rounds: int, workspace: Workspace) -> list[Sample]:
    """Run every contender once a round, each round beginning with another; a failing one is dropped, with its reason.

    Dirty pages are written out before each command, so that nobody pays for the one before.
    """
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    peaks = dict.fromkeys(seconds, 0)
    failures: dict[str, str] = {}
    for round in range(rounds):
        shift = round % len(contenders)
        for contender in (*contenders[shift:], *contenders[:shift]):
            if contender.name in failures:
                continue
            try:
                contender.prepare(round)
                os.sync()
                timings = [
                    workspace.run(*argv, folder=contender.folder, statuses=contender.statuses)
                    for argv in contender.commands(round)
                ]
                contender.clean(round)
            except CommandFailed as error:
                failures[contender.name] = error.reason
                print(f"  {contender.name} failed: {error}", file=sys.stderr)
                continue
            seconds[contender.name].append(sum(timing.seconds for timing in timings))
            peaks[contender.name] = max(peaks[contender.name], *(timing.peak_bytes for timing in timings))
    return [Sample(name, tuple(found), peaks[name], failures.get(name)) for name, found in seconds.items()]

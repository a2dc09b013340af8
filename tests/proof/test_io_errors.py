"""A full, failing or read-only disk at every second step: one clear error, nothing lost, and the next command works."""

from __future__ import annotations

import errno
import os

import pytest

from . import faults, lab
from .child import CAMPAIGN, envgit
from .conftest import Fresh
from .scenarios import SCENARIOS, Scenario
from .test_crash import problems_after_crash, states

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)
COMPLETED = "the next command completes it"
CHOSEN = ("commit", "checkout -b", "import", "undo", "branch -D, packed", "restore", "gc --prune=now", "first run")


def stride(steps: int) -> int:
    """Every step in a campaign, every second of a long scenario, every sixth in the ordinary user's pass."""
    if CAMPAIGN:
        return 1
    if os.geteuid() != 0:
        return 6
    return 2 if steps > 20 else 1


@pytest.mark.parametrize(
    "scenario", [each for each in SCENARIOS if CAMPAIGN or each.name in CHOSEN], ids=lambda scenario: str(scenario.name)
)
def test_failed_at_every_second_step(fresh: Fresh, scenario: Scenario) -> None:
    ready, before, after, steps = states(fresh, scenario)
    wrong: list[str] = []
    for k, step in list(enumerate(steps))[:: stride(len(steps))]:
        error = ERRORS[k // 2 % len(ERRORS)]
        project = lab.copy(ready, ready.with_name(f"point{k}"))
        where = f"{k} {step} {errno.errorcode[error]}"
        result = envgit(project, *scenario.words, prepare=faults.fail_at(k, error))
        envgit(project, "status").good()
        state = lab.observe(project, fsck=False).state
        if result.status not in (0, 3):
            if not result.is_clear_error() or result.status not in (2, 125):
                wrong.append(f"{where}: no clear error: {result}")
            if state == after != before and scenario.name != "first run" and COMPLETED not in result.err:
                wrong.append(f"{where}: it was done, yet an error is reported: {result}")
        elif state != after:
            wrong.append(f"{where}: it was not done, yet no error is reported: {result}")
        wrong += [f"{where}: {problem}" for problem in problems_after_crash(project, before, after)]
        lab.remove(project)
    assert wrong == []

"""kill -9 and a full disk at every step that changes the repository: of a start, in the caller and in the monitor, and of rm."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from tests.proof import faults
from tests.proof.child import envgit

from .conftest import Sandboxes, processes_at, wait_until

RUN = ("run", "-d", "--name", "one", "--network", "none", "main", "--", "sleep", "1000")
MOST_STEPS = 120


def every_step() -> Iterator[int]:
    """Count steps; the test leaves the loop when a command had fewer."""
    yield from range(MOST_STEPS)
    pytest.fail(f"a command with more than {MOST_STEPS} steps")


def clean_up(sandboxes: Sandboxes) -> None:
    """What ps lists can be removed, and nothing runs then."""

    def settled() -> bool:
        states = [sandboxes.state(name) for name in sandboxes.names("-a")]
        return not any(state["status"] == "created" and state["monitor_pid"] for state in states)

    wait_until(settled)
    names = sandboxes.names("-a")
    if names:
        sandboxes.lab("rm", "-f", *names)
    wait_until(lambda: not processes_at(sandboxes.lab.path))
    assert sandboxes.names("-a") == []


def test_a_start_that_is_killed_at_any_step(sandboxes: Sandboxes) -> None:
    sandboxes.commands_are_killed = True
    sandboxes.lab("run", "main", "--", "true")
    killed = 0
    for step in every_step():
        result = envgit(sandboxes.lab.path, *RUN, prepare=faults.kill_at(step))
        if result.status == 0 and sandboxes.names() == ["one"]:
            break
        killed += 1
        clean_up(sandboxes)
    assert killed > 15


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_start_on_a_disk_that_refuses_any_step(sandboxes: Sandboxes, number: int) -> None:
    """It says so and leaves nothing to remove, or it starts."""
    sandboxes.commands_are_killed = True
    sandboxes.lab("run", "main", "--", "true")
    refused = 0
    for step in every_step():
        result = envgit(sandboxes.lab.path, *RUN, prepare=faults.fail_at(step, number))
        assert "Traceback" not in result.err and "internal error" not in result.err, result
        if result.status:
            refused += 1
            assert os.strerror(number) in result.err, result
            assert sandboxes.names() == [], result  # of what is left the disk refused the removal too
        else:
            sandboxes.wait_for("running")
        clean_up(sandboxes)
        if step > refused + 12:
            break
    assert refused > 8


def test_a_removal_that_is_killed_at_any_step(sandboxes: Sandboxes) -> None:
    sandboxes.commands_are_killed = True
    killed = 0
    for step in every_step():
        sandboxes.sh("echo x > /root/x")
        sandboxes.lab("wait", "one")
        result = envgit(sandboxes.lab.path, "rm", "one", prepare=faults.kill_at(step))
        if result.status == 0:
            break
        killed += 1
        names = sandboxes.names("-a")
        if names:  # it is still whole
            sandboxes.lab("start", "one")
            sandboxes.lab("rm", "-f", "one")
    assert killed > 3

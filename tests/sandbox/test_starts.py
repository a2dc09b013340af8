"""Starts that go oddly: programs that end at once, worktrees with several sandboxes, callers that go away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import Lab


@pytest.fixture
def lab(labs: Callable[[Path], Lab], small_origin: Path) -> Iterator[Lab]:
    made = labs(small_origin)
    yield made
    made("rm", "-f", *made("ps", "-aq").lines(), status=None)


@pytest.mark.parametrize("words", [(), ("--name", "quick")])
def test_a_program_that_ends_before_its_ports_are_served_keeps_its_status(lab: Lab, words: tuple[str, ...]) -> None:
    for _ in range(3):
        lab("run", "-p", "80", *words, "HEAD", "--", "sh", "-c", "exit 7", status=7)
        if words:
            lab("rm", "quick")


def test_recorded_sandboxes_of_one_worktree_have_networks_of_their_own(lab: Lab) -> None:
    for name in ("one", "two", "three"):
        lab("run", "-d", "--name", name, "--", "sleep", "60")
    for name in ("one", "two", "three"):
        assert "eth0" in lab("exec", name, "cat", "/proc/net/dev").out
    lab.sh("echo joined > /joined")
    assert lab("exec", "two", "cat", "/joined").out == "joined\n"


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.15, 0.2, 0.3])
def test_a_killed_caller_leaves_a_sandbox_that_runs_or_none(lab: Lab, delay: float) -> None:
    lab("run", "HEAD", "--", "true")
    caller = lab.start("run", "-d", "--name", "lone", "HEAD", "--", "sleep", "60")
    time.sleep(delay)
    caller.kill()
    caller.wait()
    deadline = time.monotonic() + 10
    while True:
        phases = [each["status"] for each in lab("ps", "-a", "--json").json()["sandboxes"]]
        if phases in ([], ["running"]) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert phases in ([], ["running"]), lab("ps", "-a").out

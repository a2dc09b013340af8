"""Many sandboxes of one revision at once, and what is saved of one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab import Lab


@pytest.fixture
def lab(labs: Callable[[Path], Lab], small_origin: Path) -> Lab:
    return labs(small_origin)


def test_each_copy_has_its_number_and_its_own_changes(lab: Lab) -> None:
    done = lab("run", "-n", "12", "HEAD", "--", "sh", "-c", "ls /own 2>/dev/null; : > /own; echo $ENVGIT_INDEX")
    assert sorted(map(int, done.lines())) == list(range(12))
    assert lab.changes() == []
    assert list((lab.git_dir / "sandboxes").iterdir()) == []


def test_a_hundred(lab: Lab) -> None:
    done = lab("run", "-n", "100", "HEAD", "--", "sh", "-c", "echo $ENVGIT_INDEX")
    assert sorted(map(int, done.lines())) == list(range(100))


def test_the_status_is_that_of_the_first_failure(lab: Lab) -> None:
    done = lab(
        "run", "-n", "8", "HEAD", "--", "sh", "-c", "exit $((ENVGIT_INDEX % 4 == 2 ? 7 + ENVGIT_INDEX : 0))", status=9
    )
    assert "copy 2 ended with status 9" in done.err and "copy 6 ended with status 13" in done.err
    assert "2 of 8 copies failed" in done.err


def test_a_missing_program_is_said_and_nothing_is_left(lab: Lab) -> None:
    done = lab("run", "-n", "3", "HEAD", "--", "no-such-program", status=127)
    assert "no-such-program is in no folder of PATH" in done.err
    assert list((lab.git_dir / "sandboxes").iterdir()) == []


def test_the_first_success_is_saved(lab: Lab) -> None:
    script = "echo $ENVGIT_INDEX > /made; [ $ENVGIT_INDEX -ge 2 ]"
    done = lab("run", "-n", "4", "--save", "kept", "HEAD", "--", "sh", "-c", script, status=1)
    assert "[kept " in done.err and "copy 2" in done.err
    assert lab("cat", "kept:/made").out == "2\n"
    assert lab.head("kept~1") == lab.head("HEAD") and lab.changes() == []
    lab("undo")
    lab.git("rev-parse", "--verify", "--quiet", "kept", status=1)


def test_nothing_is_saved_of_a_failure(lab: Lab) -> None:
    done = lab("run", "--save", "kept", "HEAD", "--", "sh", "-c", "touch /made; exit 4", status=4)
    assert "nothing was saved" in done.err
    lab.git("rev-parse", "--verify", "--quiet", "kept", status=1)


def test_save_needs_a_free_branch_before_anything_runs(lab: Lab, tmp_path: Path) -> None:
    lab.sh("echo 1 > /one")
    lab("commit", "-m", "one")
    lab("branch", "side", "HEAD~1")
    lab.fails(
        "run", "--save", "side", "HEAD", "--", "true", status=125, says="branch side exists", hint="new branch name"
    )
    lab.fails("run", "--save", "main", "HEAD", "--", "true", status=125, says="main is checked out", hint=None)
    lab.fails("run", "--save", "a..b", "HEAD", "--", "true", status=125, says="a..b", hint=None)
    lab("run", "--save", "side", "side", "--", "sh", "-c", "echo 2 > /two")
    assert lab("diff", "--name-status", "side~1", "side").lines() == ["A\ttwo"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("-n", "0", "HEAD"), "-n takes"),
        (("-n", "2"), "copies need a revision"),
        (("-n", "2", "-p", "80", "HEAD"), "do not go together"),
        (("-n", "2", "-d", "HEAD"), "do not go together"),
        (("-n", "2", "--name", "x", "HEAD"), "do not go together"),
        (("--save", "b"), "--save needs a revision"),
    ],
)
def test_what_copies_cannot_have(lab: Lab, words: tuple[str, ...], says: str) -> None:
    lab.fails("run", *words, "--", "true", status=125, says=says, hint="")


def pids_of_copies(monitor: int, states: Path) -> list[int]:
    """Return the first processes that are recorded; one more state is the monitor's own and keeps the layers."""
    pids = []
    for path in states.glob("*/state"):
        with suppress(FileNotFoundError):
            pids.append(int(path.read_text().split()[1]))
    return [pid for pid in pids if pid != monitor]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_copies(lab: Lab, number: signal.Signals) -> None:
    lab("run", "HEAD", "--", "true")
    running = lab.start("run", "-n", "20", "HEAD", "--", "sleep", "60", start_new_session=True)
    states = lab.git_dir / "sandboxes"
    deadline = time.monotonic() + 20
    while len(pids_of_copies(running.pid, states)) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    pids = pids_of_copies(running.pid, states)
    assert len(pids) == 20
    running.send_signal(number)
    assert running.wait(timeout=20) == 128 + number
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert list(states.iterdir()) == []


def test_a_killed_monitor_takes_its_copies_along(lab: Lab) -> None:
    running = lab.start("run", "-n", "5", "HEAD", "--", "sleep", "60", start_new_session=True)
    states = lab.git_dir / "sandboxes"
    deadline = time.monotonic() + 20
    while len(pids_of_copies(running.pid, states)) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    pids = pids_of_copies(running.pid, states)
    running.kill()
    running.wait()
    deadline = time.monotonic() + 5
    while any(os.path.exists(f"/proc/{pid}/exe") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(pids) == 5 and not any(os.path.exists(f"/proc/{pid}/exe") for pid in pids)


def test_the_changes_of_a_named_sandbox_become_a_commit(lab: Lab) -> None:
    lab("run", "-d", "--name", "worker", "HEAD", "--", "sh", "-c", "echo made > /made; sleep 60")
    deadline = time.monotonic() + 10
    while lab("exec", "worker", "cat", "/made", status=None).out != "made\n":
        assert time.monotonic() < deadline
    assert "[kept " in lab("commit", "--sandbox", "worker", "--branch", "kept", "-m", "by the worker").out
    assert lab("cat", "kept:/made").out == "made\n" and lab.changes() == []
    assert "by the worker" in lab.git("log", "-1", "--format=%s", "kept")
    assert lab("ps", "--filter", "status=running", "-q").lines()
    lab("rm", "-f", "worker")
    lab("run", "-d", "--name", "here", "--", "sleep", "60")
    lab.fails(
        "commit", "--sandbox", "here", "--branch", "x", status=2, says="works in the worktree", hint="envgit commit"
    )
    lab.fails("commit", "--sandbox", "here", status=2, says="go together", hint="--branch")
    lab("rm", "-f", "here")

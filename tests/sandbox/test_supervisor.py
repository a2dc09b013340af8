"""The monitor's own failures, where no command line can make them happen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.errors import SandboxError
from envgit.exec.background import start_background
from envgit.exec.guard import start_guard
from envgit.monitor import NullMonitor
from envgit.repo import Repository
from envgit.sandbox import detached, running, stopping, supervisor
from envgit.sandbox.liveness import become_monitor, hold_sandbox, monitor_pid
from envgit.sandbox.registry import find_sandbox
from envgit.sandbox.request import RunRequest
from envgit.store import storage
from tests.lab import Lab

from .conftest import Sandboxes, children_of, is_running, processes_at, wait_until


@pytest.fixture
def repo(lab: Lab, sandboxes: Sandboxes) -> Repository:
    return Repository.open_(str(lab.path), dict(os.environ), NullMonitor())


REQUEST = RunRequest(revision="main", command=("sleep", "1000"), network="none", name="one", restart="always")


def failing_after(runs: int, error: Exception) -> Callable[..., int]:
    """Return a run_once() that works so many times."""
    real, count = running.run_once, [0]

    def run_once(*arguments: object, **options: object) -> int:
        count[0] += 1
        if count[0] > runs:
            raise error
        return real(*arguments, **options)  # type: ignore[arg-type]

    return run_once


@pytest.mark.parametrize(
    "error", [SandboxError("the layers are gone"), OSError(24, "Too many open files"), MemoryError()]
)
def test_a_first_start_that_fails_is_the_callers_and_leaves_nothing(
    repo: Repository, sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(supervisor, "run_once", failing_after(0, error))
    with pytest.raises(SandboxError):
        detached.run_detached(repo, REQUEST)
    assert sandboxes.folders() == []
    wait_until(lambda: not processes_at(sandboxes.lab.path))


def test_a_restart_that_fails_is_tried_again(
    repo: Repository, sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "run_once", failing_after(1, SandboxError("the layers are gone")))
    detached.run_detached(repo, REQUEST)
    sandboxes.lab("kill", "-s", "USR1", "one")
    wait_until(lambda: sandboxes.state()["restarts"] >= 3)
    state = sandboxes.state()
    assert (state["exit_code"], state["error"]) == (125, "the layers are gone")
    sandboxes.lab("stop", "one")
    assert sandboxes.state()["status"] == "exited"


def test_a_monitor_that_fails_says_why(repo: Repository, sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "run_once", failing_after(1, OSError(24, "Too many open files")))
    detached.run_detached(repo, REQUEST)
    sandboxes.lab("kill", "-s", "USR1", "one")
    state = sandboxes.wait_for("dead")
    assert state["exit_code"] == 125 and "Too many open files" in state["error"]
    assert find_sandbox(repo, "one").monitor == 0


@pytest.mark.parametrize("step", ["sandbox-remove", "nothing"])
def test_the_status_comes_through_though_removing_fails(repo: Repository, sandboxes: Sandboxes, step: str) -> None:
    def fail(reached: str) -> None:
        if reached == step:
            raise OSError(5, "Input/output error")

    storage.set_fault_hook(fail)
    try:
        request = REQUEST._replace(command=("sh", "-c", "exit 7"), restart="no", remove=True)
        assert detached.run_named(repo, request).status == 7
    finally:
        storage.set_fault_hook(None)
    wait_until(lambda: not processes_at(sandboxes.lab.path))
    if step == "nothing":
        assert sandboxes.folders() == []
    else:
        (status,) = sandboxes.recorded()
        assert (status["phase"], status["exit_code"]) == ("exited", 7)
        assert "could not be removed" in status["error"] and "Input/output error" in status["error"]
        sandboxes.lab("ps", "-a")  # any command that looks finishes it
        assert sandboxes.folders() == []


def test_a_start_that_is_tried_again_leaves_no_guard_behind(
    repo: Repository, sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = running.run_once

    def run_once(*arguments: object, beside: supervisor.Supervisor, **options: object) -> int:
        first = os.fork()
        if first == 0:
            time.sleep(1000)
        try:
            beside.created(first)
            beside.created(first)
        finally:
            os.kill(first, 9)
            os.waitpid(first, 0)
        return real(*arguments, beside=beside, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(supervisor, "run_once", run_once)
    detached.run_detached(repo, REQUEST)
    processes = sandboxes.processes()
    assert sorted(children_of(processes["monitor"])) == sorted((processes["first"], processes["guard"]))
    links = [
        os.readlink(f"/proc/{processes['monitor']}/fd/{fd}") for fd in os.listdir(f"/proc/{processes['monitor']}/fd")
    ]
    assert sum("pidfd" in link for link in links) == 2, links  # of the first process and of its guard


def test_a_guard_that_cannot_be_replaced_at_once_is_later(
    repo: Repository, sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [0]

    def failing(pid: int) -> int:
        calls[0] += 1
        if calls[0] == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return start_guard(pid)

    monkeypatch.setattr(supervisor, "start_guard", failing)
    detached.run_detached(repo, REQUEST)
    before = sandboxes.processes()
    os.kill(before["guard"], 9)
    wait_until(lambda: len(children_of(before["monitor"])) == 1, "the guard is gone")
    wait_until(lambda: len(children_of(before["monitor"])) == 2, "there is another")
    assert sandboxes.processes()["first"] == before["first"]


def test_a_number_that_has_become_anothers_is_not_killed(repo: Repository, sandboxes: Sandboxes) -> None:
    """The control: the lock's holder is."""
    sandboxes.run("sleep", "1000")
    found = find_sandbox(repo, "one")
    other = os.fork()
    if other == 0:
        time.sleep(1000)
    try:
        stopping._kill_monitor(repo, found, other)
        time.sleep(0.1)
        assert is_running(other)
    finally:
        os.kill(other, 9)
        os.waitpid(other, 0)
    stopping._kill_monitor(repo, found, found.monitor)
    wait_until(lambda: not is_running(found.monitor))


def test_two_monitors_of_one_sandbox_cannot_be(repo: Repository, sandboxes: Sandboxes) -> None:
    detached.run_detached(repo, REQUEST)
    record = find_sandbox(repo, "one").record
    with pytest.raises(Exception, match="in use by another command"):
        detached._start(repo, record, None)
    assert sandboxes.state()["status"] == "running"


def test_a_monitor_that_looks_at_itself_keeps_its_lock(repo: Repository, sandboxes: Sandboxes) -> None:
    id = sandboxes.run("true")
    sandboxes.wait_for("exited")
    wait_until(lambda: monitor_pid(repo, id) == 0)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        held = become_monitor(repo, id)
        looks = [monitor_pid(repo, id) for _ in range(2)]
        os.write(write_end, b"ok" if held is not None and looks == [os.getpid()] * 2 else b"no")
        os.close(write_end)
        time.sleep(1000)
    assert os.read(read_end, 2) == b"ok"
    assert monitor_pid(repo, id) == pid
    assert hold_sandbox(repo, id) is None and become_monitor(repo, id) is None
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    assert monitor_pid(repo, id) == 0
    held = hold_sandbox(repo, id)
    assert held is not None
    os.close(held)


def test_a_process_in_the_background_has_nothing_of_its_caller(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    leak = os.open("/etc/passwd", os.O_RDONLY)
    before = time.monotonic()

    def work() -> None:
        found = sorted(int(name) for name in os.listdir("/proc/self/fd"))
        os.write(write_end, f"{found} {os.getcwd()} {os.getsid(0) == os.getpid()} {os.getppid()}".encode())

    start_background(work, keep=(write_end,), folder=str(tmp_path))
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        said = pipe.read()
    os.close(leak)
    fds, rest = said.split("] ")
    assert len(fds.split(",")) == 5, said  # three, the pipe, and the folder that is listed
    assert rest.split()[:2] == [str(tmp_path), "False"] and rest.split()[2] != str(os.getpid())
    assert time.monotonic() - before < 10

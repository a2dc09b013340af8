"""A sandbox whose monitor was killed and whose program lost PR_SET_PDEATHSIG: the next command ends it, and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envgit.errors import StorageError
from envgit.exec.process import start_time
from envgit.exec.runner import Ending
from envgit.sandbox import copies, state
from envgit.sandbox.state import SandboxState
from tests.lab import BUSYBOX, Lab

from .conftest import is_running, wait_until

pytestmark = pytest.mark.skipif(not BUSYBOX.exists(), reason="busybox is missing")
LOSES_ITS_DEATH_SIGNAL = ("/bin/busybox", "su", "-s", "/bin/sh", "ann", "-c", "exec sleep 1000")
"""A first process that changes its own ids: the kernel clears PDEATHSIG."""


class Started:
    """Runs in the foreground of their own processes; all are ended after the test."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.pids: list[int] = []
        self._monitors: list[subprocess.Popen[bytes]] = []

    def __call__(self, *words: str, count: int = 1, program: tuple[str, ...] = LOSES_ITS_DEATH_SIGNAL) -> Any:
        monitor = self.lab.start("run", "--network", "none", *words, "--", *program, start_new_session=True)
        self._monitors.append(monitor)
        found = wait_until(lambda: self._programs(monitor.pid, count, program[-1].split()[-2]))
        self.pids += found
        return monitor, found

    def _programs(self, monitor: int, count: int, name: str) -> list[int]:
        found = []
        for path in (self.lab.git_dir / "sandboxes").glob("*/state"):
            try:
                text = path.read_text()
                pid = int(text.split()[1])
                ready = name.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
            except (OSError, IndexError):
                continue
            if ready and pid != monitor and f"\nmonitor {monitor} " in text:
                found.append(pid)
        return found if len(found) == count else []

    def end(self) -> None:
        for monitor in self._monitors:
            monitor.kill()
            monitor.wait()
        for pid in self.pids:
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start(lab: Lab) -> Iterator[Started]:
    started = Started(lab)
    yield started
    started.end()


def lose(monitor: subprocess.Popen[bytes], pids: list[int]) -> None:
    monitor.kill()
    monitor.wait()
    time.sleep(0.3)
    assert all(map(is_running, pids))  # the control: nothing else ends it


@pytest.mark.parametrize(
    "words", [("status",), ("run", "--", "true"), ("ps",), ("gc",), ("log",), ("commit", "--allow-empty", "-m", "x")]
)
def test_the_next_command_ends_it(lab: Lab, start: Started, words: tuple[str, ...]) -> None:
    monitor, pids = start()
    lab(*words)
    assert all(map(is_running, pids)) or words[0] == "commit"  # the control: its monitor lives
    lose(monitor, pids)
    lab(*words)
    assert not any(map(is_running, pids))
    assert lab.sh("echo again").out == "again\n"


def test_copies_and_joined_runs(lab: Lab, start: Started) -> None:
    copying, of_copies = start("-n", "3", "HEAD", count=3)
    first, (of_first,) = start()
    joined, (of_joined,) = start()
    lose(copying, of_copies)
    lose(joined, [of_joined])
    lab("status")
    assert not any(map(is_running, (*of_copies, of_joined)))
    assert is_running(of_first) and first.poll() is None
    lose(first, [of_first])
    lab("status")
    assert not is_running(of_first)


def test_a_run_takes_over_what_an_orphan_had_mounted(lab: Lab, start: Started) -> None:
    lab.sh("echo before > /made")
    monitor, pids = start()
    lose(monitor, pids)
    assert lab.sh("cat /made; echo after > /made").out == "before\n"
    assert not any(map(is_running, pids)) and lab.sh("cat /made").out == "after\n"


def write(repo: Any, id: str, text: str) -> Path:
    path = Path(repo.path("sandboxes", id, "state"))
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


class Folder:
    """What state.py asks of a repository."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def path(self, *names: str) -> str:
        return str(self._path.joinpath(*names))


def test_states_of_older_versions_and_reused_pids(tmp_path: Path) -> None:
    """Nothing is killed unless it is certain: same boot, same process, and the monitor known to be gone."""
    repo: Any = Folder(tmp_path)
    bystander = subprocess.Popen(["sleep", "1000"])
    gone = subprocess.Popen(["true"])
    gone_start = start_time(gone.pid)
    gone.wait()
    pid, started, boot = bystander.pid, start_time(bystander.pid), state._boot_id()
    head = f"pid {pid}\nstart {started}\nupper -\nlayers a b\n"
    try:
        old = write(repo, "a", head)
        assert list(state.iter_states(repo)) == [(SandboxState("a", pid, started, "-", ("a", "b")), True)]
        old.write_text(head + f"monitor {os.getpid()} {start_time(os.getpid())} {boot}\n")
        assert [alive for _, alive in state.iter_states(repo)] == [True]
        old.write_text(head + f"monitor {gone.pid} {gone_start} another-boot\n")
        assert [alive for _, alive in state.iter_states(repo)] == [True]
        old.write_text(head.replace(f"start {started}", f"start {started + 1}") + f"monitor {gone.pid} 1 {boot}\n")
        assert [alive for _, alive in state.iter_states(repo)] == [False]
        assert bystander.poll() is None
        old.write_text(head + f"monitor {os.getpid()} {start_time(os.getpid()) + 1} {boot}\n")  # its pid was used again
        assert [alive for _, alive in state.iter_states(repo)] == [False]
        assert bystander.wait(timeout=20) == -signal.SIGKILL  # the control: now all of it is certain
    finally:
        bystander.kill()
        bystander.wait()


def test_a_pid_that_is_reused_between_the_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo: Any = Folder(tmp_path)
    bystander = subprocess.Popen(["sleep", "1000"])
    answers = iter([True, False, False])
    monkeypatch.setattr(state, "is_alive", lambda pid, started: next(answers))
    monkeypatch.setattr(state, "_is_gone", lambda pid, started: True)
    text = f"pid {bystander.pid}\nstart 7\nupper -\nlayers \nmonitor 1 1 {state._boot_id()}\n"
    write(repo, "a", text)
    try:
        assert [alive for _, alive in state.iter_states(repo)] == [False]
        time.sleep(0.1)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("failing", ["write_state", "watch"])
def test_a_copy_whose_state_cannot_be_written_leaves_no_process(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, failing: str, repository: Callable[[Lab], Any]
) -> None:
    from envgit.sandbox.request import RunRequest

    seen: list[int] = []
    real = state.write_state

    def write_state(repo: Any, written: SandboxState) -> None:
        if written.pid != os.getpid():
            seen.append(written.pid)
            if failing == "write_state" and len(seen) == 2:
                raise StorageError("no space left")
        real(repo, written)

    def watch(*arguments: Any) -> None:
        raise StorageError("cannot watch")

    monkeypatch.setattr(copies, "write_state", write_state)
    if failing == "watch":
        monkeypatch.setattr(Ending, "watch", watch)
    before = set(os.listdir("/proc/self/fd"))
    request = RunRequest(revision="HEAD", command=("sleep", "1000"), network="none")
    with pytest.raises(StorageError):
        copies.run_copies(repository(lab), request, 3)
    assert seen and not any(map(is_running, seen))
    assert not [each for each in os.listdir("/proc/self/fd") if each not in before and _is_pidfd(each)]
    assert os.listdir(lab.git_dir / "sandboxes") == []


def _is_pidfd(number: str) -> bool:
    try:
        return "pidfd" in os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return False


@pytest.fixture
def repository() -> Callable[[Lab], Any]:
    from envgit.monitor import NullMonitor
    from envgit.repo import Repository

    return lambda lab: Repository.open_(str(lab.path), os.environ, NullMonitor())

"""A repository for long-lived sandboxes; after each test nothing of any of them is left."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab

PATIENCE_SECONDS = 20.0


def wait_until(condition: Callable[[], Any], what: str = "it came true", seconds: float = PATIENCE_SECONDS) -> Any:
    """Return what `condition` returns once that is true; fail when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return value


class Sandboxes:
    """The sandboxes of a lab as a test sees them: through the command line, and as files and processes."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.commands_are_killed = False
        """Then gc may have something to do at the end; else there must be nothing."""

    def run(self, *words: str, name: str = "one", options: tuple[str, ...] = (), status: int = 0) -> str:
        """Start one over main in the background; return its id."""
        command = ("run", "-d", "--name", name, "--network", "none", *options, "main", "--", *words)
        return self.lab(*command, status=status).out.strip()

    def sh(self, script: str, **options: Any) -> str:
        return self.run("sh", "-c", script, **options)

    def inspect(self, name: str = "one") -> dict[str, Any]:
        found: dict[str, Any] = self.lab("inspect", name).json()["sandboxes"][0]
        return found

    def state(self, name: str = "one") -> dict[str, Any]:
        state: dict[str, Any] = self.inspect(name)["state"]
        return state

    def names(self, *options: str) -> list[str]:
        return [each["name"] for each in self.lab("ps", *options, "--json").json()["sandboxes"]]

    def wait_for(self, status: str, name: str = "one", seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Return the state once it is `status`."""

        def reached() -> dict[str, Any] | None:
            state = self.state(name)
            return state if state["status"] == status else None

        found: dict[str, Any] = wait_until(reached, f"{name} is {status}", seconds)
        return found

    def processes(self, name: str = "one") -> dict[str, int]:
        """Return the pids of a running sandbox: its first process, its monitor, its guard."""
        state = self.state(name)
        children = children_of(state["monitor_pid"])
        guards = [pid for pid in children if pid != state["pid"] and is_fork_of(pid, state["monitor_pid"])]
        assert len(guards) == 1, children
        return {"first": state["pid"], "monitor": state["monitor_pid"], "guard": guards[0]}

    def folders(self) -> list[str]:
        return sorted(os.listdir(self.lab.git_dir / "sandboxes"))

    def log_text(self, name: str = "one") -> str:
        return self.lab("logs", name).out

    def recorded(self) -> list[dict[str, Any]]:
        """Return status files as they are, without a command that finishes what is dead."""
        return [json.loads(path.read_text()) for path in (self.lab.git_dir / "sandboxes").glob("*/status.json")]


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_fork_of(pid: int, parent: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == Path(f"/proc/{parent}/cmdline").read_bytes()
    except OSError:
        return False


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def has_ended(pid: int) -> bool:
    return not is_running(pid)


def processes_at(folder: Path) -> list[int]:
    """Return the processes that work in a folder: monitors do, in their project."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                if os.readlink(f"/proc/{name}/cwd") == str(folder):
                    found.append(int(name))
            except OSError:
                continue
    return found


@pytest.fixture
def sandboxes(lab: Lab) -> Iterator[Sandboxes]:
    given = Sandboxes(lab)
    yield given
    recorded = [status["pid"] for status in Sandboxes(lab).recorded() if status["pid"]]
    found = lab("ps", "-aq").lines()
    if found:
        lab("rm", "-f", *found)
    try:
        wait_until(lambda: not processes_at(lab.path), "every monitor has ended")
        wait_until(lambda: not [pid for pid in recorded if is_running(pid)], "every program has ended")
    finally:
        for pid in processes_at(lab.path):
            os.kill(pid, signal.SIGKILL)
    assert lab("ps", "-aq").out == ""
    if given.commands_are_killed:
        for folder in (lab.git_dir / "sandboxes").iterdir():
            os.utime(folder, (0, 0))  # gc leaves what is young
        lab("gc")
        lab("gc")
        assert given.folders() == []
    left = [name for name in Sandboxes(lab).folders() if (lab.git_dir / "sandboxes" / name / "record.json").exists()]
    assert left == []
    assert not list((lab.git_dir / "refs").glob("envgit/sandboxes/*"))

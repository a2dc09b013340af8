"""What lives beside a sandbox when a part of it fails."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from envgit.errors import SandboxError
from envgit.exec.launch import Sandbox
from envgit.exec.process import start_time
from envgit.exec.reactor import Reactor
from envgit.exec.runner import Companions
from envgit.monitor import NullMonitor
from envgit.sandbox import companions as module
from envgit.sandbox.companions import RunCompanions
from envgit.sandbox.networking import Way
from envgit.sandbox.request import RunRequest


class Forwarder:
    """Has died; the first restarts fail."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures = failures
        self.tries = 0
        self._error = error
        self._read, write = os.pipe()
        os.close(write)  # readable: it has ended
        self._lives: int | None = None

    def fileno(self) -> int:
        return self._read

    def restart(self) -> None:
        self.tries += 1
        if self.tries <= self.failures:
            raise self._error
        os.close(self._read)
        self._read, self._lives = os.pipe()

    def stop(self) -> None:
        for fd in (self._read, self._lives):
            if fd is not None:
                os.close(fd)


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(["sleep", "1000"])
    yield started
    started.kill()
    started.wait()


def watched(
    monkeypatch: pytest.MonkeyPatch, forwarder: Forwarder, pid: int, started: int, monitor: NullMonitor
) -> tuple[RunCompanions, Reactor]:
    monkeypatch.setattr(module, "_FORWARDER_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(module, "_FORWARDER_RETRY_SECONDS", 0.01)
    way: Any = Way("none")
    beside = RunCompanions(RunRequest(), way, (), "0" * 12, None, monitor)
    reactor = Reactor()
    beside.started(Sandbox(pid, started), reactor)
    given: Any = forwarder
    beside._forwarder = given
    beside._watch_forwarder(reactor)
    return beside, reactor


@pytest.mark.parametrize("error", [SandboxError("no process"), OSError(24, "too many open files")])
def test_a_forwarder_that_cannot_be_started_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, program: subprocess.Popen[bytes], error: Exception
) -> None:
    forwarder, monitor = Forwarder(3, error), NullMonitor()
    beside, reactor = watched(monkeypatch, forwarder, program.pid, start_time(program.pid), monitor)
    deadline = time.monotonic() + 20
    reactor.after(20.0, lambda: None)
    reactor.run(until=lambda: forwarder.tries > 3 or time.monotonic() > deadline)
    assert forwarder.tries == 4
    assert len(monitor.warnings) == 1 and "not served, trying again" in monitor.warnings[0]
    beside.close()
    reactor.close()


def test_not_when_the_sandbox_has_ended(monkeypatch: pytest.MonkeyPatch, program: subprocess.Popen[bytes]) -> None:
    forwarder, monitor = Forwarder(3, SandboxError("gone")), NullMonitor()
    beside, reactor = watched(monkeypatch, forwarder, program.pid, start_time(program.pid) + 1, monitor)
    deadline = time.monotonic() + 0.3
    reactor.after(0.4, lambda: None)
    reactor.run(until=lambda: time.monotonic() > deadline)
    assert forwarder.tries == 1 and monitor.warnings == []
    beside.close()
    reactor.close()


def test_a_terminal_that_nobody_takes_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Taking(Companions):
        takes_terminal = True

    way: Any = Way("none")
    beside = RunCompanions(RunRequest(), way, (), "0" * 12, Taking(), NullMonitor())
    monkeypatch.setattr(beside, "bounds", ("one",))

    def fail(reactor: Reactor) -> None:
        raise SandboxError("no forwarder")

    monkeypatch.setattr(beside, "_forward", fail)
    terminal, other = os.openpty()
    reactor = Reactor()
    with pytest.raises(SandboxError):
        beside.started(Sandbox(os.getpid(), 0, terminal), reactor)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(terminal)
    os.close(other)
    reactor.close()

"""A forwarder beside a sandbox as the runner makes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.exec import idmap, runner
from envgit.exec.ports.binding import bind, close
from envgit.exec.ports.forwarder import start_forwarder
from envgit.exec.ports.publish import parse_publish
from envgit.exec.spec import SandboxSpec

from ..conftest import lower, make_spec
from .box import SECONDS
from .programs import connect

ROOT = Path(__file__).resolve().parents[3]
MakeSpec = Callable[..., SandboxSpec]
__all__ = ["lower", "make_spec"]


@pytest.mark.parametrize("user", [b"", b"ann"])
def test_it_enters_the_network_of_a_program_that_runs(make_spec: MakeSpec, user: bytes) -> None:
    """Whoever the program is: the forwarder is the sandbox's root; nothing listens inside, so the client is reset."""
    if user and idmap.choose_idmap().kind == "single":
        user = b""
    bounds = bind(parse_publish("8080"))
    seen: list[str] = []

    def started(pid: int, start_time: int) -> None:
        forwarder = start_forwarder(pid, start_time, bounds)
        with pytest.raises(ConnectionResetError), connect(bounds[0]) as client:
            client.recv(1)
        with open(f"/proc/{forwarder.pid}/net/dev", encoding="ascii") as file:
            seen.extend(line.split(":")[0].strip() for line in file if ":" in line)
        forwarder.stop()
        os.kill(pid, signal.SIGKILL)

    assert runner.run(make_spec("sleep", "1000", user=user), on_started=started) == 137
    assert "lo" in seen and "eth0" not in seen
    close(bounds)


def test_publishing_is_loaded_without_the_forwarder() -> None:
    """Parsing and binding come before the start, on the path of every run with -p; they need nothing that others do not."""
    program = (
        "import sys, typing, collections.abc; before = set(sys.modules); import envgit.exec.ports.binding; "
        "print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=SECONDS
    ).stdout.split()
    ours = [name for name in loaded if name.startswith("envgit.")]
    assert ours == [
        "envgit.errors", "envgit.exec", "envgit.exec.ports", "envgit.exec.ports.binding", "envgit.exec.ports.publish",
    ]  # fmt: skip
    assert set(loaded) - set(ours) <= {"envgit", "_socket", "__future__", "errno"}

"""Signals of envgit-oci: to every process of a container and to no other, and of the programs it starts on the host."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from envgit.exec.oci import container, hooks

from .runtime import Oci


def test_kill_all_reaches_every_process_and_no_other(oci: Oci, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pid of the list that means another process by now gets nothing; those of the container do."""
    second = "(trap 'echo second; exit 0' TERM; echo up; while :; do sleep 0.05; done)"
    script = f"trap 'echo first' TERM; {second} & wait; wait"
    oci.configure("sh", "-c", script)
    oci.quietly("create", "one", output=tmp_path / "output")
    oci("start", "one")
    deadline = time.monotonic() + 10
    while "up" not in (tmp_path / "output").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    bystander = subprocess.Popen(["sleep", "1000"])
    try:
        scan = container.processes_of
        monkeypatch.setattr(container, "processes_of", lambda record: [bystander.pid, *scan(record)])
        container.Runtime(str(oci.root), lambda message: None).kill("one", signal.SIGTERM, everything=True)
        oci.wait_for("one", "stopped")
        text = (tmp_path / "output").read_text()
        assert "first" in text and "second" in text
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    oci("delete", "one")


def test_hooks_have_the_signals_of_a_new_program(tmp_path: Path) -> None:
    """Whatever the runtime blocks, and what the interpreter ignores."""
    out = tmp_path / "out"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        script = f"grep -E '^Sig(Blk|Ign)' /proc/self/status > {out}"
        hooks.run_hooks((hooks.Hook("/bin/sh", ("sh", "-c", script), {"PATH": "/bin:/usr/bin"}),), {})
        blocked, ignored = (int(line.split()[1], 16) for line in out.read_text().splitlines())
        assert (blocked, ignored & 0x7FFFFFFF) == (0, 0)  # the C library keeps 32 and 33 for itself
        inherited = Path("/proc/self/status").read_text()  # the control: here they are blocked and ignored
        assert [line for line in inherited.splitlines() if line.startswith("SigBlk") and line.split()[1].strip("0")]
        assert [line for line in inherited.splitlines() if line.startswith("SigIgn") and line.split()[1].strip("0")]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

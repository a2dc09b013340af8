"""No attempt of a hostile program succeeds, in a sandbox or joined to one; each that has a control succeeds there."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.exec.escape.host import planted_attributes
from tests.exec.escape.program import ABSENT, catalogue, failures
from tests.exec.escape.stage import SANDBOXES, Stage, missing_controls

FEWEST_ATTEMPTS = 60
FEWEST_CONTROLS = 60
"""How many attempts must succeed on the host itself, whatever its kernel lacks or a container around it refuses."""


def test_catalogue(probe: Path) -> None:
    attempts = catalogue(probe)
    assert len(attempts) >= FEWEST_ATTEMPTS
    assert {attempt.control for attempt in attempts.values()} == {"host", "weak", "none", "outside"}
    assert min(Counter(attempt.group for attempt in attempts.values()).values()) > 5


@pytest.mark.any_ids
@pytest.mark.parametrize("way", SANDBOXES)
def test_nothing_succeeds(probe: Path, way: str) -> None:
    with Stage(probe) as stage:
        verdicts, harm = stage.attempt(way)
        assert failures(verdicts, stage.attempts) == []
        assert harm == []


def test_bubblewrap_lets_some_through(probe: Path) -> None:
    """The same attempts in a sandbox without a filter: they can succeed, and the verdicts tell the difference."""
    with Stage(probe) as stage:
        verdicts, harm = stage.attempt("bwrap")
        succeeded = {name for name, got in verdicts.items() if got.failed}
        assert {"io_uring_setup", "personality", "keyctl", "unshare_user"} <= succeeded
        assert not any(got.kind == "error" for got in verdicts.values()), verdicts
        assert [line for line in harm if "canary" not in line and "terminal" not in line] == []


@pytest.mark.root_only
def test_control_on_the_host(probe: Path) -> None:
    """What does no harm is done unconfined, where nothing but a missing facility or a container's limits stops it."""
    with Stage(probe) as stage:
        verdicts, _ = stage.attempt("host")
        missing = missing_controls(stage.attempts, verdicts)
        assert len(verdicts) - len(missing) >= FEWEST_CONTROLS, missing
        known = ABSENT | {"EPERM", "EACCES", "ESTALE", "EINVAL", "EROFS", "empty"}
        assert [line for line in missing if line.split(": ")[1] not in known] == []


def test_control_in_a_weak_sandbox(probe: Path) -> None:
    """Without filter and masks, with every capability, what concerns the sandbox's own namespaces succeeds."""
    with Stage(probe) as stage:
        verdicts, _ = stage.attempt("weak")
        assert missing_controls(stage.attempts, verdicts) == []


def test_harm_is_seen(probe: Path) -> None:
    """Every look from outside notices what it is for."""
    with Stage(probe) as stage:
        host, libc = stage.host, ctypes.CDLL(None)
        assert host.harm() == []
        (host.folder / "canary").write_text("changed")
        (host.folder / "new").touch()
        os.kill(host.victim, signal.SIGUSR1)
        os.setpriority(os.PRIO_PROCESS, host.victim, 5)
        subprocess.run(["ionice", "-c", "3", "-p", str(host.victim)], timeout=20, check=True)
        (Path("/proc") / str(host.victim) / "oom_score_adj").write_text("900")
        libc.prlimit(host.victim, 7, (ctypes.c_ulong * 2)(100, 100), None)
        with socket.create_connection(("127.0.0.1", int(host.facts["TCP"])), timeout=10) as peer:
            assert peer.recv(100).decode() == host.secret
        marked = stage.root / "tmp/marked-folder"
        marked.mkdir()
        os.setxattr(marked, "user.overlay.redirect", b"/x")
        seen = "\n".join(host.harm(f"found {host.secret}") + planted_attributes(stage.root))
        for what in ("canary:", "files:", "signals", "nice", "io priority", "oom score", "limits", "contact tcp", "content was",
                     "marked-folder: user.overlay.redirect"):  # fmt: skip
            assert what in seen, seen


def test_input_pushed_into_the_terminal_is_seen(probe: Path) -> None:
    """The program on the host, which has the terminal as its own, can do it, unless this kernel forbids it to everyone."""
    with Stage(probe) as stage, stage.way("host") as way:
        said = way._replace(prefix=(str(probe),)).run_on_terminal(stage.host, ["push_input"])
        setting = Path("/proc/sys/dev/tty/legacy_tiocsti")
        assert said.pushed == b"#" or (setting.exists() and setting.read_text() == "0\n")

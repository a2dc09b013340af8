"""exec: another program in a running sandbox."""

from __future__ import annotations

import os
import re

import pytest

from envgit.errors import SandboxError
from envgit.monitor import NullMonitor
from envgit.repo import Repository
from envgit.sandbox import entering

from .conftest import Sandboxes, wait_until


def test_exec_runs_beside_the_program(sandboxes: Sandboxes) -> None:
    lab = sandboxes.lab
    sandboxes.run("sleep", "1000", options=("-e", "OWN=1", "-w", "/srv"))
    for kind in ("user", "mnt", "pid", "net", "uts", "ipc"):
        first, second = (
            lab("exec", "one", "ls", "-l", f"/proc/{who}/ns/{kind}").out.split()[-1] for who in ("1", "self")
        )
        assert first == second != os.readlink(f"/proc/self/ns/{kind}")
    status = lab("exec", "one", "cat", "/proc/self/status").out
    own = lab("exec", "one", "cat", "/proc/1/status").out
    for key in ("CapPrm", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp"):
        assert re.search(f"{key}:.*", status).group() == re.search(f"{key}:.*", own).group()  # type: ignore[union-attr]
    assert lab("exec", "-e", "MORE=2", "one", "sh", "-c", "echo $OWN $MORE; pwd").out == "1 2\n/srv\n"
    assert lab("exec", "-w", "/etc", "-u", "1000", "one", "sh", "-c", "pwd; id -u").out == "/etc\n1000\n"
    assert lab("exec", "-i", "one", "--", "cat", stdin=b"in").out == "in"
    assert lab("exec", "one", "--", "cat", stdin=b"in").out == ""
    assert lab("exec", "one", "echo", "-n", "--", "x").out == "-- x"
    lab("exec", "one", "sh", "-c", "exit 3", status=3)
    lab("exec", "one", "sh", "-c", "kill -9 $$", status=137)
    lab.fails("exec", "one", "/no/program", status=127, says="does not exist", hint=None)
    lab.fails("exec", "one", status=125, says="which command", hint="exec -it")
    lab.fails("exec", "--privileged", "one", "true", status=125, says="--privileged", hint="--cap-add")
    lab("exec", "-d", "one", "sh", "-c", "echo x > /root/made; sleep 500")
    wait_until(lambda: lab("exec", "one", "cat", "/root/made", status=None).out == "x\n")
    lab.fails("exec", "-d", "one", "/no/program", status=127, says="does not exist", hint=None)
    assert len(lab("top", "one").lines()) == 3
    lab("stop", "one")
    lab.fails("exec", "one", "true", status=125, says="is exited", hint="envgit start one")


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), MemoryError(), SandboxError("no program", hint="x")]
)
def test_a_failure_in_the_background_is_no_success(
    sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    sandboxes.run("sleep", "1000")
    repo = Repository.open_(str(sandboxes.lab.path), dict(os.environ), NullMonitor())
    request = entering.EnterRequest(("touch", "/root/made"))

    def fail(*arguments: object, **options: object) -> int:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(entering, "run", fail)
        with pytest.raises(SandboxError, match="Too many open files|MemoryError|no program"):
            entering.enter_detached(repo, "one", request)
        patch.setattr(entering, "run", lambda *arguments, **options: os._exit(9))
        with pytest.raises(SandboxError, match="ended before the program ran"):
            entering.enter_detached(repo, "one", request)
    entering.enter_detached(repo, "one", request)
    wait_until((sandboxes.lab.git_dir / "sandboxes" / sandboxes.folders()[0] / "upper/root/made").exists)

"""What happens to worktree and branch while a build goes on beside: it is noticed, and what was built is kept."""

from __future__ import annotations

import subprocess
import time

from tests.lab import Lab


def declare(lab: Lab, *steps: str) -> None:
    text = '[env]\nfrom = "base"\n' + "".join(f'[[step]]\nrun = "{step}"\n' for step in steps)
    (lab.path / "envgit.toml").write_text(text)


def start(lab: Lab) -> subprocess.Popen[bytes]:
    build = lab.start("build", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert build.stderr is not None
    for line in build.stderr:
        if b"[2/2]" in line:
            return build
    raise AssertionError("the second step did not start")


def test_a_running_sandbox_is_noticed_before_anything_is_built(lab: Lab) -> None:
    lab("branch", "base")
    declare(lab, "echo 1 > /srv/1")
    lab("run", "-d", "--name", "busy", "--network", "none", "--", "sleep", "1000")
    said = lab.fails("build", status=1, says="a sandbox is running in this worktree", hint="--branch")
    assert "[1/1]" not in said.err
    lab("build", "--branch", "elsewhere")
    lab("rm", "-f", "busy")


def test_changes_that_appear_meanwhile_stay_and_so_does_what_was_built(lab: Lab) -> None:
    lab("branch", "base")
    declare(lab, "echo 1 > /srv/1", "sleep 1; echo 2 > /srv/2")
    build = start(lab)
    lab.sh("echo mine > /srv/mine")
    assert build.communicate(timeout=60)[0] == b"" and build.returncode == 1
    assert lab.changes() == ["A srv/mine"]
    lab("commit", "-m", "mine")
    lab("gc", "--prune=now")
    assert "nothing to build" in lab("build").out


def test_another_branch_that_is_checked_out_meanwhile_is_left_alone(lab: Lab) -> None:
    lab("branch", "base")
    declare(lab, "echo 1 > /srv/1", "sleep 1; echo 2 > /srv/2")
    build = start(lab)
    lab("checkout", "-b", "other")
    before = lab.head("other"), lab.head("main")
    time.sleep(0.1)
    err = build.communicate(timeout=60)[1]
    assert build.returncode == 1 and b"HEAD is not where it was" in err
    assert (lab.head("other"), lab.head("main")) == before
    assert "nothing to build" in lab("build").out

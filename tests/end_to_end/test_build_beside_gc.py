"""gc beside a build: what a build has recorded stays, and nothing holds it once the build has landed or died."""

from __future__ import annotations

import signal
import subprocess
import time

from tests.lab import Lab

STEPS = "".join(f'[[step]]\nrun = "sleep 0.7; echo {name} > /srv/{name}"\n' for name in "abc")


def test_units_survive_gc_while_the_build_goes_on(lab: Lab) -> None:
    lab("branch", "base")
    (lab.path / "envgit.toml").write_text(f'[env]\nfrom = "base"\n{STEPS}')
    build = lab.start("build", "--branch", "built", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(4):
        time.sleep(0.4)
        lab("gc", "--prune=now")
    out, err = build.communicate(timeout=60)
    assert build.returncode == 0, err
    assert lab.look("built", "cat /srv/a /srv/b /srv/c").split() == ["a", "b", "c"]
    assert lab("fsck").status == 0
    assert lab.git("for-each-ref", "refs/envgit/building") == ""


def test_a_killed_build_holds_nothing_after_the_next(lab: Lab) -> None:
    lab("branch", "base")
    (lab.path / "envgit.toml").write_text(f'[env]\nfrom = "base"\n{STEPS}')
    build = lab.start("build", "--branch", "built", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert build.stderr is not None
    for line in build.stderr:
        if b"[1/3]" in line and b" in " in line:
            break
    build.send_signal(signal.SIGKILL)
    build.wait()
    assert "refs/envgit/building" in lab.git("for-each-ref")
    lab("gc", "--prune=now")
    assert "(reused" in lab("build", "--branch", "built").err
    assert lab.git("for-each-ref", "refs/envgit/building") == ""

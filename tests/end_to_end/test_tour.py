"""The job as the README types it, on this machine's own distribution."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.lab import ONE_ID, Lab, assert_stock_git_is_content, remove, run_envgit

LAUNCHERS = {"range": ()} if os.geteuid() == 0 else {"subordinate": (), "single": ONE_ID}

pytestmark = pytest.mark.any_ids


@pytest.mark.parametrize("launcher", LAUNCHERS.values(), ids=LAUNCHERS)
def test_the_tour(tmp_path: Path, launcher: tuple[str, ...]) -> None:
    if not os.path.exists("/var/lib/dpkg/status"):
        pytest.skip("this machine is not made of dpkg packages")
    made = run_envgit("init", "lab", "--from", "host", cwd=tmp_path, launcher=launcher)
    assert "lab/.envgit" in made.out
    lab = Lab(tmp_path / "lab", launcher)
    lab.sh("echo hi > /etc/motd; rm -f /usr/share/doc/bash/README*; touch /usr/share/doc/bash/new")
    status = lab("status").out
    assert "etc/motd" in status
    assert "usr/share/doc/bash" in status
    assert "nothing to commit" not in status
    porcelain = lab.changes()
    assert any(line in ("M etc/motd", "A etc/motd") for line in porcelain)
    assert any(line == "D usr/share/doc/bash/README.gz" for line in porcelain)

    patch = lab("diff").out
    assert "+hi\n" in patch
    assert "+++ b/etc/motd" in patch
    assert "etc/motd" in lab("diff", "--stat").out
    assert "\tetc/motd\n" in lab("diff", "--name-status").out

    committed = lab("commit", "-m", "greet")
    assert re.search(r"\[main [0-9a-f]{7,}\] greet", committed.out)
    assert "stored" in committed.out
    assert "envgit undo" in committed.err
    assert lab.changes() == []

    lab("checkout", "-b", "experiment")
    lab("run", "--", "touch", "/opt/x")
    lab("commit", "-m", "try something")
    lab("checkout", "main")
    assert lab("run", "--", "ls", "/opt").out == ""
    assert lab("run", "experiment", "--", "ls", "/opt").out == "x\n"
    assert lab("run", "main~1", "--", "cat", "/etc/motd", status=None).out != "hi\n"
    assert lab("run", "main", "--", "cat", "/etc/motd").out == "hi\n"
    assert lab("diff", "main", "experiment", "--", "/etc").out == ""
    assert "opt/x" in lab("diff", "--name-status", "main", "experiment").out
    graph = lab("log", "--graph", "--stat").out
    assert graph.startswith("* commit ")
    assert "etc/motd" in graph

    tip = lab.head()
    lab("reset", "--hard", "HEAD~1")
    assert lab.head() != tip
    lab("undo")
    assert lab.head() == tip
    assert lab("run", "--", "cat", "/etc/motd").out == "hi\n"
    assert lab("fsck").status == 0
    assert "On branch main" in lab().out
    assert_stock_git_is_content(lab.git_dir, tmp_path)
    remove(lab.git_dir)

"""run --dry-run prints the steps of a start and takes none of them."""

from __future__ import annotations

import os
import subprocess

from tests.lab import Lab


def test_each_step_in_order(lab: Lab) -> None:
    words = (
        "--network",
        "none",
        "-m",
        "64m",
        "--ulimit",
        "nofile=64:128",
        "--tmpfs",
        "/x",
        "--cap-drop",
        "ALL",
        "-e",
        "A=b c",
    )
    lines = lab("run", "--dry-run", *words, "main", "--", "sh", "-c", "touch /made").lines()
    kinds = list(dict.fromkeys(line.partition(":")[0] for line in lines))
    assert kinds == ["namespaces", "network", "ids", "limit", "mount", "hostname", "root", "session", "resource limit",
                     "directory", "capabilities", "user", "no new privileges", "system call filter", "environment",
                     "execute"]  # fmt: skip
    assert "limit: memory 64m" in lines and "resource limit: 7 soft 64 hard 128" in lines
    assert "capabilities: none; inheritable and ambient none" in lines and "environment: 'A=b c'" in lines
    assert any(line.startswith("mount: tmpfs on /x") for line in lines)
    assert lines[-1] == "execute: sh -c 'touch /made'"


def test_nothing_happens(lab: Lab) -> None:
    before = sorted(os.listdir(lab.git_dir / "sandboxes"))
    lab("run", "--dry-run", "--network", "none", "--", "sh", "-c", "touch /made")
    lab("run", "--dry-run", "--network", "none", "main", "--", "sh", "-c", "touch /made")
    assert sorted(os.listdir(lab.git_dir / "sandboxes")) == before and lab.changes() == []


def test_a_running_worktree_would_be_joined(lab: Lab) -> None:
    process = lab.start("run", "--network", "none", "--", "sh", "-c", "echo up; sleep 1000", stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"up\n"
    try:
        lines = lab("run", "--dry-run", "--network", "none", "--", "true").lines()
        assert lines[0].startswith("join: the user and mount namespaces of process")
    finally:
        process.terminate()
        process.wait(20)

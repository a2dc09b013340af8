"""Pointers of worktrees: a base that is not the tip must never look like changes that nobody made, and a sandbox never writes
into an upper directory that no branch has any more."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import Lab, remove


def second_commit(lab: Lab) -> None:
    lab.sh("echo two > /etc/two")
    lab("commit", "-m", "two")


def test_a_detached_head_that_was_left_leaves_nothing_behind(lab: Lab) -> None:
    second_commit(lab)
    lab("checkout", "--detach", "HEAD~1")
    lab("run", "--", "true")
    lab("checkout", "main")
    lab("checkout", "--detach", "main")
    assert lab.changes() == []
    lab("checkout", "--detach", "HEAD~1")
    assert lab.changes() == []


def test_an_undone_checkout_leaves_its_changes_to_their_commit(lab: Lab) -> None:
    second_commit(lab)
    lab("checkout", "--detach", "HEAD~1")
    lab.sh("echo x > /etc/x")
    lab("undo")
    lab("checkout", "--detach", "main")
    assert lab.changes() == []


def test_a_moved_branch_starts_clean(lab: Lab) -> None:
    lab("checkout", "-b", "topic")
    lab("run", "--", "true")
    lab("checkout", "main")
    second_commit(lab)
    lab("branch", "-f", "topic", "main")
    lab("checkout", "topic")
    assert lab.changes() == []
    lab("checkout", "-B", "topic", "HEAD~1")
    assert lab.changes() == []


def test_a_moved_branch_does_not_lose_its_changes(lab: Lab) -> None:
    lab("checkout", "-b", "topic")
    lab.sh("echo x > /etc/x")
    lab("checkout", "main")
    second_commit(lab)
    lab.fails("branch", "-f", "topic", "main", status=1, says="uncommitted changes", hint="envgit checkout topic")
    lab.fails("checkout", "-B", "topic", status=1, says="uncommitted changes", hint="envgit checkout topic")
    lab("checkout", "topic")
    assert lab.changes() == ["A etc/x"]


def test_a_new_branch_has_nothing_of_one_that_git_deleted(lab: Lab) -> None:
    lab("checkout", "-b", "topic")
    lab.sh("echo x > /etc/x")
    lab("checkout", "main")
    second_commit(lab)
    lab.git("branch", "-D", "topic")
    lab("checkout", "-b", "topic", "main~1")
    assert lab.changes() == []


def test_a_branch_in_which_something_only_ran_can_be_deleted(lab: Lab) -> None:
    lab("checkout", "-b", "topic")
    lab("run", "--", "sh", "-c", "echo x > /tmp/x")
    lab("checkout", "main")
    lab("branch", "-d", "topic")


def test_undo_says_what_it_sets_aside(lab: Lab) -> None:
    lab("branch", "-m", "main", "other")
    lab.sh("echo x > /etc/x")
    assert "uncommitted changes of other" in lab("undo", status=None).err
    lab("undo")
    assert lab.changes() == ["A etc/x"]


@pytest.fixture
def sleeping(lab: Lab) -> Callable[[], subprocess.Popen[bytes]]:
    def start() -> subprocess.Popen[bytes]:
        running = lab.start("run", "--", "sh", "-c", "echo go; cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert running.stdout is not None and running.stdout.readline() == b"go\n"
        return running

    return start


@pytest.mark.parametrize(
    "words",
    [
        ("reset", "--hard"),
        ("restore", "/etc/x"),
        ("import", "--from", "dir:{root}"),
        ("branch", "-D", "topic"),
        ("undo",),
    ],
)
def test_nothing_takes_a_worktree_from_a_running_sandbox(
    lab: Lab, words: tuple[str, ...], sleeping: Callable[[], subprocess.Popen[bytes]], small_root: Path
) -> None:
    lab("checkout", "-b", "topic")
    if words == ("undo",):
        lab.sh("echo x > /etc/x")
        lab("reset", "--hard")
    running = sleeping()
    if words[0] == "branch":
        lab("checkout", "main")
    words = tuple(word.format(root=small_root) for word in words)
    lab.fails(*words, status=1, says="a sandbox is running", hint="let it end")
    running.communicate()
    assert running.returncode == 0


def test_what_a_sandbox_writes_after_the_capture_is_not_in_the_layer(lab: Lab) -> None:
    """From before the capture until the handover no sandbox can start; one that runs already prevents the handover."""
    lab.sh("echo x > /etc/x")
    program = """
import os, sys, subprocess
from envgit import commit, snapshot
from envgit.monitor import NullMonitor
from envgit.repo import Repository
write = commit._write
def late(repo, *rest):
    held = subprocess.run(["flock", "-n", "-s", sys.argv[1], "true"]).returncode
    assert held == 1, "a sandbox could start between capture and handover"
    return write(repo, *rest)
commit._write = late
commit.commit_worktree(Repository.open_(os.getcwd(), os.environ, NullMonitor()), message="x")
"""
    (lock,) = (lab.git_dir / "uppers").glob("*/lock")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", program, str(lock)]
    done = subprocess.run(command, cwd=lab.path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert lab.changes() == [] and lab.look("main", "cat /etc/x") == "x\n"


def test_gc_waits_for_a_run_that_starts(lab: Lab) -> None:
    second_commit(lab)
    lab("run", "main~1", "--", "true")
    fd = os.open(lab.git_dir / "sandboxes", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    gc = lab.start("gc", "--prune=now", stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    assert gc.poll() is None
    os.close(fd)
    assert gc.wait(60) == 0


def test_gc_survives_an_upper_directory_that_was_never_finished(lab: Lab) -> None:
    (lab.git_dir / "uppers/0123").mkdir(parents=True)
    lab("gc")
    assert not (lab.git_dir / "uppers/0123").exists()


def test_gc_removes_half_made_layers(lab: Lab) -> None:
    lab("run", "--", "true")
    (lab.git_dir / "layers/new-layer-0123/fs").mkdir(parents=True)
    lab("gc")
    assert not (lab.git_dir / "layers/new-layer-0123").exists()


def test_gc_drops_what_only_a_reflog_names_and_undo_does_not_want_it_back(lab: Lab) -> None:
    second_commit(lab)
    lost = lab.head()
    lab("reset", "--hard", "HEAD~1")
    lab("tag", "t")
    lab("gc", "--prune=now")
    lab.git("cat-file", "-e", lost, status=1)
    assert "Undid" in lab("undo").out
    assert lab.git("for-each-ref", "refs/tags") == ""


def test_gc_keeps_the_base_of_changes_when_git_moved_their_branch(lab: Lab) -> None:
    second_commit(lab)
    lab.sh("echo x > /etc/x")
    lab.git("update-ref", "refs/heads/main", "main~1")
    before = lab.changes()
    lab("tag", "t")
    lab("gc", "--prune=now")
    assert lab.changes() == before


def test_a_lost_upper_directory_is_left_by_reset(lab: Lab) -> None:
    lab.sh("echo x > /etc/x")
    for folder in (lab.git_dir / "uppers").iterdir():
        remove(folder)
    lab.fails("status", status=2, says="cannot be opened", hint="fsck")
    lab("reset", "--hard")
    assert lab.changes() == []
    lab.sh("echo y > /etc/y")
    assert lab.changes() == ["A etc/y"]


def test_a_run_after_a_killed_reset_is_not_lost_with_it(lab: Lab) -> None:
    lab.sh("echo x > /etc/x")
    program = """
import os, sys
from envgit.store import storage
storage.set_fault_hook(lambda step: os._exit(137) if step == "worktree-unlink" else None)
sys.argv = ["envgit", "reset", "--hard"]
from envgit.cli.start import main
main()
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", program], cwd=lab.path, env=environment, check=False)
    assert done.returncode == 137
    lab.sh("echo y > /etc/y")
    lab("tag", "t")
    assert lab.changes() == ["A etc/y"]

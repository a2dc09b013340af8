"""Sandboxes that run while others start, and while the worktree is committed, reset or left."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab

pytestmark = pytest.mark.any_ids


class Background:
    """A shell in the worktree that does one line after another, and says what each printed."""

    def __init__(self, lab: Lab) -> None:
        self.process = lab.start("run", "-i", "--", "sh", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.do(":")

    def do(self, line: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line.encode() + b"\necho __end__ $?\n")
        self.process.stdin.flush()
        said: list[str] = []
        while True:
            answer = self.process.stdout.readline().decode()
            assert answer, f"the shell ended after {line!r}: {said}"
            if answer.startswith("__end__ "):
                return "".join(said)
            said.append(answer)

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(20)


@pytest.fixture
def background(lab: Lab) -> Iterator[Background]:
    shell = Background(lab)
    yield shell
    if shell.process.poll() is None:
        shell.process.kill()
    shell.process.wait(20)
    for pipe in (shell.process.stdin, shell.process.stdout):
        if pipe is not None:
            pipe.close()


def test_a_second_run_joins_the_live_mount(lab: Lab, background: Background) -> None:
    background.do("echo first > /srv/first; mkdir /srv/d")
    assert lab.sh("cat /srv/first; echo second > /srv/d/second").out == "first\n"
    assert background.do("cat /srv/d/second") == "second\n"
    lab.sh("rm /srv/first")
    assert background.do("ls /srv") == "d\nlines\n"
    assert background.end() == 0
    assert lab.paths() == ["srv/d", "srv/d/second"] or lab.paths() == ["srv/d/second"]


def test_a_joined_run_outlives_the_first(lab: Lab, background: Background) -> None:
    second = Background(lab)
    background.do("echo 1 > /srv/one")
    assert background.end() == 0
    assert second.do("cat /srv/one") == "1\n"
    second.do("echo 2 > /srv/two")
    assert lab.sh("cat /srv/two").out == "2\n"
    assert second.end() == 0
    assert sorted(lab.paths()) == ["srv/one", "srv/two"]
    lab("commit", "-m", "both")
    assert lab.look("main", "cat /srv/one /srv/two") == "1\n2\n"


def test_commit_leaves_a_running_sandbox_running(lab: Lab, background: Background) -> None:
    background.do("echo 1 > /srv/one; echo 2 > /srv/two; rm /etc/motd")
    assert sorted(lab.paths()) == ["etc/motd", "srv/one", "srv/two"]
    lab("commit", "-m", "beside")
    assert lab.changes() == []
    assert background.do("cat /srv/one") == "1\n"
    background.do("rm /srv/one; echo changed > /srv/two; echo back > /etc/motd")
    assert lab.changes() == ["A etc/motd", "D srv/one", "M srv/two"]
    assert lab.sh("ls /srv").out == "lines\ntwo\n"
    lab("commit", "-m", "after")
    assert lab.changes() == []
    background.do("echo 3 > /srv/three")
    assert background.end() == 0
    assert lab.changes() == ["A srv/three"]
    assert lab.sh("cat /srv/three /srv/two /etc/motd; ls /srv").out == "3\nchanged\nback\nlines\nthree\ntwo\n"
    lab("commit", "-m", "last")
    assert lab.look("main", "ls /srv") == "lines\nthree\ntwo\n"
    assert lab.look("main~2", "ls /srv; test -e /etc/motd || echo gone") == "lines\none\ntwo\ngone\n"
    lab.forget_layers()
    assert lab.look("main~1", "ls /srv; cat /etc/motd") == "lines\ntwo\nback\n"


def test_a_worktree_that_is_in_use_is_not_taken_away(lab: Lab, background: Background) -> None:
    background.do("echo 1 > /srv/one")
    lab.fails("reset", "--hard", status=1, says="a sandbox is running", hint="kill it")
    lab.fails("restore", "srv/one", status=1, says="a sandbox is running", hint="kill it")
    assert background.do("cat /srv/one") == "1\n"


def test_switching_leaves_a_running_sandbox_in_its_worktree(lab: Lab, background: Background) -> None:
    lab("branch", "other")
    lab("checkout", "other")
    background.do("echo 1 > /srv/one")
    assert lab.changes() == []
    lab.sh("echo o > /srv/other")
    assert background.do("ls /srv") == "lines\none\n"
    lab("checkout", "main")
    assert lab.sh("ls /srv").out == "lines\none\n"
    assert background.end() == 0
    lab("gc", "--prune", "now")
    assert lab.paths() == ["srv/one"]


def test_gc_beside_a_running_sandbox_takes_nothing_from_it(lab: Lab, background: Background) -> None:
    background.do("echo 1 > /srv/one")
    lab("gc", "--prune", "now")
    assert background.do("cat /srv/one /etc/motd") == "1\nwelcome\n"
    lab.forget_layers()
    assert background.do("cat /srv/one") == "1\n"
    assert background.end() == 0
    assert lab.sh("cat /srv/one /etc/motd").out == "1\nwelcome\n"


def test_a_killed_run_leaves_nothing_in_the_way(lab: Lab, background: Background) -> None:
    background.do("echo 1 > /srv/one; sync")
    background.process.kill()
    background.process.wait(20)
    deadline = time.monotonic() + 10
    while lab("commit", "-m", "after the kill", status=None).status and time.monotonic() < deadline:
        time.sleep(0.2)
    assert lab.look("main", "cat /srv/one") == "1\n"
    assert lab.sh("cat /srv/one").out == "1\n"
    lab("reset", "--hard", "HEAD~1")
    assert lab.changes() == []

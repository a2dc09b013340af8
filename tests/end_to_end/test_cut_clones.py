"""Clones of the last commits: made, worked in, pushed from, pulled into, and made whole later."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from envgit.store.shallow import read_shallow
from tests.lab import Lab, run_envgit

pytestmark = pytest.mark.any_ids
PROGRAMS = ("git", "dulwich")


def git(*words: str | Path) -> str:
    done = subprocess.run(["git", *words], capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, said
    return said


@pytest.fixture
def bare(lab: Lab, tmp_path: Path) -> Path:
    """Four commits on main, two on side."""
    for number in (1, 2, 3):
        lab.sh(f"echo {number} > /srv/n{number}")
        lab("commit", "-m", f"change {number}")
        if number == 1:
            lab("branch", "side")
    git("init", "-q", "--bare", "-b", "main", tmp_path / "env.git")
    git("-C", tmp_path / "env.git", "config", "receive.fsckObjects", "true")
    lab("remote", "add", "origin", str(tmp_path / "env.git"))
    lab("push", "-u", "origin", "main", "side")
    return tmp_path / "env.git"


def commits(lab: Lab) -> int:
    return len(lab("log", "--oneline").lines())


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_from_one_commit_to_all(lab: Lab, bare: Path, program: str, scheme: str) -> None:
    run_envgit("clone", "--depth", "1", f"{scheme}{bare}", "cut", cwd=bare.parent, ENVGIT_GIT=program)
    cut = Lab(bare.parent / "cut", variables={"ENVGIT_GIT": program})
    assert commits(cut) == 1 and len(read_shallow(str(cut.git_dir))) >= 1
    assert cut.sh("cat /srv/n1 /srv/n2 /srv/n3").out == "1\n2\n3\n"
    cut.fails("log", "HEAD~1", status=2, says="history is cut short", hint="envgit fetch --unshallow")
    cut.sh("echo 4 > /srv/n4")
    cut("commit", "-m", "change 4")
    cut("push")
    assert git("-C", bare, "fsck", "--strict", "--full") == ""
    lab("pull")
    assert lab.look("HEAD", "cat /srv/n4") == "4\n"
    lab.sh("echo 5 > /srv/n5")
    lab("commit", "-m", "change 5")
    lab("push")
    cut("pull")
    assert commits(cut) == 3
    assert "history is cut short" in cut("fsck").err and "no problems" in cut("fsck").err
    cut("gc", "--prune=now")
    cut("fetch", "--unshallow")
    assert commits(cut) == commits(lab) == 6
    assert read_shallow(str(cut.git_dir)) == frozenset() and cut("log", "-1", "HEAD~5").status == 0
    assert "cut short" not in cut("fsck").err
    assert cut.git("fsck", "--strict", "--full", "--no-dangling") == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_shallow_fetch_takes_no_history_away(lab: Lab, bare: Path, program: str) -> None:
    run_envgit("clone", str(bare), "whole", cwd=bare.parent, ENVGIT_GIT=program)
    whole = Lab(bare.parent / "whole", variables={"ENVGIT_GIT": program})
    lab.sh("echo 4 > /srv/n4")
    lab("commit", "-m", "change 4")
    lab("push")
    before = commits(whole)
    whole("fetch", "--depth", "1")
    whole("gc", "--prune=now")
    assert commits(whole) == before
    assert "no problems" in whole("fsck").err
    whole("pull")
    assert whole.look("HEAD", "cat /srv/n4") == "4\n"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_cut_clone_is_cloned_and_bundled(lab: Lab, bare: Path, program: str) -> None:
    run_envgit("clone", "--depth", "2", f"file://{bare}", "cut", cwd=bare.parent, ENVGIT_GIT=program)
    run_envgit("clone", "cut", "again", cwd=bare.parent, ENVGIT_GIT=program)
    again = Lab(bare.parent / "again")
    assert commits(again) == 2 and "no problems" in again("fsck").err
    assert again.sh("cat /srv/n3").out == "3\n"


def test_lazy_clones_are_refused_by_name(bare: Path) -> None:
    """Of stock git: this version cannot work in them (docs/format.md section 10)."""
    git("-C", bare, "config", "uploadpack.allowFilter", "true")
    project = Lab(bare.parent / "part")
    git("clone", "-q", "--bare", "--filter=blob:none", f"file://{bare}", project.git_dir)
    project.fails("init", status=2, says="is a partial clone", hint="--depth 1")

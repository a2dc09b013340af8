"""kill -9 at the steps of a build, or a full disk: nothing is damaged, and the next build ends where it would have."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from envgit.store import storage

from . import faults, lab
from .child import CAMPAIGN, ENVIRON, envgit
from .conftest import Fresh

WORDS = ("build", "-q")
DECLARATION = """\
[env]
from = "base"
[files]
"/etc/given" = { content = "given" }
[[step]]
run = ["/bin/true"]
[config]
env = { A = "1" }
"""
STRIDE = 1 if CAMPAIGN else 5 if os.geteuid() == 0 else 13


def ready(fresh: Fresh) -> Path:
    project = fresh()
    envgit(project, "reset", "--hard").good()
    envgit(project, "tag", "base").good()
    (project / "envgit.toml").write_text(DECLARATION)
    lab.tidy_for_copy(project)
    return project


def built(project: Path) -> list[str]:
    """Return the ids of what the branch has: environment and configuration."""
    names = ["HEAD:rootfs", "HEAD:config.json"]
    command = ["git", "--git-dir", str(project / ".envgit"), "rev-parse", *names]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def problems(project: Path, before: list[str], after: list[str]) -> list[str]:
    """Return what a user would complain about after a build that ended badly, and after the one that follows it."""
    found = []
    status = envgit(project, "status", "--porcelain")
    if status.status or status.out:
        found.append(f"status: {status}")
    found += [f"envgit fsck: {problem}" for problem in lab.observe(project).problems]
    found += [f"git fsck: {line}" for line in lab.git_fsck(project)]
    if built(project) not in (before, after) and not _is_between(project):
        found.append("the branch has neither what it had nor what was built")
    again = envgit(project, *WORDS, environ=WITH_EPOCH)
    if again.status:
        found.append(f"the next build fails: {again}")
    elif built(project) != after:
        found.append("the next build ends elsewhere")
    return found


def _is_between(project: Path) -> bool:
    """Say whether the tip is one of the build's units: after an error the last good one is."""
    command = ["git", "--git-dir", str(project / ".envgit"), "log", "-1", "--format=%B"]
    return "Envgit-Build: " in subprocess.run(command, capture_output=True, text=True, check=True).stdout


WITH_EPOCH = {**ENVIRON, "SOURCE_DATE_EPOCH": "1700000000"}


def reference(project: Path) -> tuple[list[str], list[str], int]:
    """Return what the branch has before and after a build, and how many steps that takes."""
    before = built(project)
    done = lab.copy(project, project.with_name("done"))
    count = 0
    memory = os.memfd_create("steps")

    def install() -> None:
        storage.set_fault_hook(lambda step: None if os.write(memory, b".") else None)

    envgit(done, *WORDS, prepare=install, environ=WITH_EPOCH).good()
    count = os.fstat(memory).st_size
    os.close(memory)
    after = built(done)
    lab.remove(done)
    return before, after, count


def test_killed_at_the_steps_of_a_build(fresh: Fresh) -> None:
    project = ready(fresh)
    before, after, count = reference(project)
    assert count > 40 and before != after
    wrong: list[str] = []
    for k in range(0, count, STRIDE):
        there = lab.copy(project, project.with_name(f"point{k}"))
        envgit(there, *WORDS, prepare=faults.kill_at(k), environ=WITH_EPOCH)
        wrong += [f"{k}: {problem}" for problem in problems(there, before, after)]
        lab.remove(there)
    assert wrong == []


def test_a_disk_that_is_full_at_the_steps_of_a_build(fresh: Fresh) -> None:
    project = ready(fresh)
    before, after, count = reference(project)
    wrong: list[str] = []
    failed = 0
    for k in range(1, count, STRIDE * 2):
        there = lab.copy(project, project.with_name(f"point{k}"))
        result = envgit(there, *WORDS, prepare=faults.fail_at(k, errno.ENOSPC), environ=WITH_EPOCH)
        if result.status not in (0, 3):  # 3: only what is a cache could not be written
            failed += 1
            wrong += [] if result.is_clear_error() else [f"{k}: no clear error: {result}"]
        wrong += [f"{k}: {problem}" for problem in problems(there, before, after)]
        lab.remove(there)
    assert wrong == []
    assert failed

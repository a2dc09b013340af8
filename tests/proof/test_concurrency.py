"""Many commands at once: no acknowledged change is lost, and the only error is that the repository is busy."""

from __future__ import annotations

import fcntl
import os
import random
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from . import faults, lab
from .child import CAMPAIGN, Result, envgit, start, wait_status
from .conftest import Fresh

WRITERS = 5
READERS = 2
SECONDS = 600.0 if CAMPAIGN else 5.0
LEAST = 12
"""What each does at least, however slow the machine is."""
BUSY = "the repository is being changed by"


class Done(NamedTuple):
    words: tuple[str, ...]
    result: Result


def _work(project: Path, number: int, readers: bool, log: int) -> None:
    """Issue random commands until the time is up and enough was done; write what each said, one line each."""
    random.seed(number)
    end = time.monotonic() + SECONDS
    count = 0
    while time.monotonic() < end or count < LEAST:
        count += 1
        name = f"{number}-{count}"
        if readers:
            choices = [
                ("log", "--oneline"),
                ("status",),
                ("branch",),
                ("show", "v1"),
                ("cat", "v1:etc/motd"),
                ("fsck",),
            ]
        else:
            choices = [
                ("commit", "--allow-empty", "-m", f"message {name}"),
                ("branch", f"b{name}"),
                ("tag", f"t{name}"),
                ("checkout", random.choice(("main", "side"))),
                ("checkout", "-b", f"c{name}"),
                ("run", "v1", "--", "/bin/true"),
                ("run", "--", "/bin/true"),
                ("gc",),
                ("op", "log"),
            ]
        words = random.choice(choices) if count > 1 else choices[0]
        result = envgit(project, *words)
        line = repr((words, tuple(result))) + "\n"
        os.write(log, line.encode())


def _start_worker(project: Path, number: int, readers: bool, log: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            _work(project, number, readers, log)
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def test_many_at_once(fresh: Fresh, tmp_path: Path) -> None:
    project = fresh()
    path = tmp_path / "log"
    log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    pids = [_start_worker(project, n, n >= WRITERS, log) for n in range(WRITERS + READERS)]
    assert [wait_status(pid, SECONDS + 240) for pid in pids] == [0] * len(pids)
    os.close(log)
    done = [Done(words, Result(*result)) for words, result in map(eval, path.read_text().splitlines())]
    errors = [each for each in done if each.result.status and BUSY not in each.result.err]
    assert errors == []
    assert len(done) >= LEAST * len(pids)
    _nothing_is_lost(project, done)
    observed = lab.observe(project)
    assert observed.problems == ()
    assert lab.git_fsck(project) == []
    assert not list((project / ".envgit").rglob("tmp_*"))


def _nothing_is_lost(project: Path, done: list[Done]) -> None:
    refs = set(lab.git(project, "for-each-ref", "--format=%(refname)").split())
    subjects = lab.git(project, "log", "--branches", "--format=%s").splitlines()
    fine = [each for each in done if each.result.status == 0]
    for words, result in fine:
        if words[0] == "branch" and len(words) == 2:
            assert f"refs/heads/{words[1]}" in refs
        elif words[:2] == ("checkout", "-b"):
            assert f"refs/heads/{words[2]}" in refs
        elif words[0] == "tag":
            assert f"refs/tags/{words[1]}" in refs
        elif words[0] == "commit":
            assert subjects.count(words[3]) >= 1, (words, result)
    commits = [each.words[3] for each in fine if each.words[0] == "commit"]
    assert len(commits) >= 3
    assert set(commits) == {subject for subject in subjects if subject.startswith("message ")}


def test_stock_git_moves_the_branch_meanwhile(fresh: Fresh, tmp_path: Path) -> None:
    """Whenever git moves the branch, its move stays: the commit is refused, or it was made on top."""
    steps = list(dict.fromkeys(faults.record(fresh(), ("commit", "-m", "four"))[1]))
    steps = steps[: steps.index("operation-commit") + 1]
    assert len(steps) > 10
    for number, step in enumerate(steps):
        project = fresh()
        there, go_on = tmp_path / f"there{number}", tmp_path / f"go{number}"
        command = start(project, "commit", "-m", "four", prepare=faults.pause_at(step, there, go_on))
        while not there.exists():
            time.sleep(0.002)
        said = lab.git(project, "update-ref", "refs/heads/main", "side")
        go_on.touch()
        result = command.wait()
        main, side = lab.git(project, "rev-parse", "main"), lab.git(project, "rev-parse", "side")
        if "Unable to create" in said or "cannot lock" in said:  # our lock was there first
            assert result.status == 0, (step, result)
        elif result.status:
            assert result.is_clear_error() and main == side, (step, said, result)
        else:
            assert lab.git(project, "rev-parse", "main^") == side, (step, said, result)


def test_a_run_waits_for_a_commit_to_hand_over_its_upper_directory(fresh: Fresh, tmp_path: Path) -> None:
    """Else it would mount the old base under the new, empty upper directory: the committed changes would be gone from view."""
    project = fresh()
    there, go_on = tmp_path / "there", tmp_path / "go"
    commit = start(project, "commit", "-m", "four", prepare=faults.pause_at("handover-take-upper", there, go_on))
    while not there.exists():
        time.sleep(0.002)
    run = start(project, "run", "--", "/bin/true")
    time.sleep(0.1)
    go_on.touch()
    commit.wait().good()
    run.wait().good()
    assert envgit(project, "status").good().out.endswith("environment clean\n")


def test_a_reader_waits_for_an_upper_directory_that_is_being_handed_over(fresh: Fresh) -> None:
    """As commit does: under the exclusive lock the directory is renamed away, and a new one put in its place."""
    project = fresh()
    word = (project / ".envgit/checkouts/main/base").read_text().strip()
    folder = project / ".envgit/uppers" / word.partition(":")[2]
    lock = os.open(folder / "lock", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / "upper").rename(folder / "away")
    reader = start(project, "diff", "--stat", prepare=lambda: os.close(lock))
    time.sleep(1)
    (folder / "away").rename(folder / "upper")
    os.close(lock)
    assert "motd" in reader.wait().good().out
    (folder / "upper").rename(folder / "away")  # the control: nobody brings this one back
    assert envgit(project, "diff", "--stat").is_clear_error()


def test_a_reader_beside_consolidation(fresh: Fresh, tmp_path: Path) -> None:
    """A reader that opened the packs before they were merged still finds everything."""
    project = fresh()
    there, go_on = tmp_path / "there", tmp_path / "go"
    for number in range(6):
        envgit(project, "commit", "--allow-empty", "-m", f"{number}").good()
    packs = len(list((project / ".envgit/objects/pack").glob("*.pack")))
    collector = start(project, "gc", prepare=faults.pause_at("consolidate-unlink", there, go_on))
    while not there.exists():
        time.sleep(0.002)
    expected = envgit(project, "log", "--stat").good().out

    def open_then_let_go() -> None:
        from envgit.store import object_store

        read = object_store.ObjectStore.read
        opened = False

        def read_late(self: object_store.ObjectStore, oid: bytes) -> tuple[str, bytes]:
            nonlocal opened
            answer = read(self, oid)
            if not opened:
                opened = True
                go_on.touch()
                collector_gone = f"/proc/{collector.pid}"
                while os.path.exists(collector_gone) and not _is_zombie(collector_gone):
                    time.sleep(0.002)
            return answer

        object_store.ObjectStore.read = read_late  # type: ignore[method-assign]

    assert envgit(project, "log", "--stat", prepare=open_then_let_go).good().out == expected
    collector.wait().good()
    assert len(list((project / ".envgit/objects/pack").glob("*.pack"))) < packs


def _is_zombie(path: str) -> bool:
    try:
        with open(path + "/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_second_writer_says_who_holds_the_lock(
    fresh: Fresh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = fresh()
    there, go_on = tmp_path / "there", tmp_path / "go"
    first = start(project, "commit", "-m", "x", prepare=faults.pause_at("operation-create", there, go_on))
    while not there.exists():
        time.sleep(0.002)

    def be_impatient() -> None:
        from envgit.store.lock import RepositoryLock

        acquire = RepositoryLock.acquire
        monkeypatch.setattr(RepositoryLock, "acquire", lambda lock, command, wait=0: acquire(lock, command, 0.1))

    second = envgit(project, "tag", "x", prepare=be_impatient)
    go_on.touch()
    assert BUSY in second.err and f"process {first.pid}" in second.err and "commit" in second.err
    assert second.status == 2
    first.wait().good()

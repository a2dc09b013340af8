"""A program has the descriptors 0, 1, 2 and no other, whatever the caller left open or closed; none leads out."""

from __future__ import annotations

import os
import pty
import select
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.exec.escape import ways
from tests.exec.escape.program import failures, parse_verdicts
from tests.exec.escape.stage import SANDBOXES, Stage
from tests.exec.escape.ways import Way

SECONDS = 60
JOINS = 12
RACES = 15


@contextmanager
def left_open(stage: Stage) -> Iterator[tuple[int, ...]]:
    """Yield descriptors of every kind, low and high, that a careless caller lets its children inherit."""
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in ("/", "/proc/self/fd", "/dev", str(stage.folder))]
    fds += [os.open(stage.folder, os.O_PATH | os.O_DIRECTORY), os.open("/proc/self/ns/mnt", os.O_RDONLY)]
    with tempfile.TemporaryFile() as deleted, socket.socket() as inet, select.epoll() as epoll:
        fds += [
            os.dup(deleted.fileno()),
            os.dup(inet.fileno()),
            os.dup(epoll.fileno()),
            os.memfd_create("left"),
            *os.pipe(),
        ]
        fds += [fd for end in socket.socketpair() for fd in (end.detach(),)]
        fds += [os.pidfd_open(os.getpid()), *pty.openpty()]
        for number in (63, 200, 1000):
            os.dup2(fds[0], number)
            fds.append(number)
        try:
            yield tuple(fds)
        finally:
            for fd in fds:
                os.close(fd)


def start(stage: Stage, way: Way, *words: str, shell: str = "", **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run words of the probe; `shell` is what a shell does with descriptors on its way, as `<&-`."""
    command = [*way.prefix, *words]
    if shell:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, **options}
    options |= {"cwd": way.folder, "env": ways.environment(stage.host), "timeout": SECONDS, "check": False}
    return subprocess.run(command, **options)


@pytest.mark.parametrize("way", SANDBOXES)
def test_what_the_caller_left_open(probe: Path, way: str) -> None:
    with Stage(probe) as stage, stage.way(way) as started, left_open(stage) as fds:
        done = start(stage, started, "--descriptors", pass_fds=fds)
        assert (done.returncode, done.stdout) == (0, b""), done.stderr


@pytest.mark.parametrize("way", SANDBOXES)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_the_caller_closed(probe: Path, way: str, closed: str) -> None:
    """Nothing that envgit opens for itself may land on a free number and stay there."""
    with Stage(probe) as stage, stage.way(way) as started, left_open(stage) as fds:
        done = start(stage, started, "--descriptors", shell=closed, pass_fds=fds)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", SANDBOXES)
def test_with_a_terminal(probe: Path, way: str) -> None:
    """With -t the three are the sandbox's own terminal: the caller's never gets in."""
    with Stage(probe) as stage, stage.way(way) as started, left_open(stage) as fds:
        verb = started.prefix.index(way)
        terminal = started._replace(prefix=(*started.prefix[: verb + 1], "-it", *started.prefix[verb + 1 :]))
        said = terminal.run_on_terminal(stage.host, ["controlling_terminal", "take_terminal", "own_descriptors"], fds)
        verdicts = parse_verdicts(said.text)
        assert verdicts["own_descriptors"].kind == "refused"
        assert "own" in verdicts["controlling_terminal"].evidence or verdicts["controlling_terminal"].kind == "ESCAPED"
        assert said.pushed == b""
        said = terminal.run_on_terminal(stage.host, ["--descriptors"], fds)


def test_descriptors_are_seen(probe: Path) -> None:
    """The look itself: the same program on the host sees what was left open and what was closed."""
    with Stage(probe) as stage, left_open(stage) as fds:
        plain = Way("host", (str(probe),), stage.folder)
        assert start(stage, plain, "--descriptors").returncode == 0
        assert start(stage, plain, "--descriptors", pass_fds=fds).returncode >= 40
        assert start(stage, plain, "--descriptors", shell=">&-").returncode == 2
        assert start(stage, plain, "--descriptors", shell="</").returncode == 100


@pytest.mark.parametrize("way", SANDBOXES)
def test_working_directory_through_a_descriptor(probe: Path, way: str) -> None:
    """CVE-2024-21626: /proc/self/fd/N as working directory, while the caller and envgit itself have folders open."""
    with Stage(probe) as stage:
        (stage.root / "through").symlink_to("/proc/self/fd/7")
        with stage.way(way) as started, left_open(stage) as fds:
            verb = started.prefix.index(way) + 1
            for path in (
                *(f"/proc/self/fd/{number}" for number in range(3, 13)),
                "/proc/1/cwd",
                "/through",
                "/proc/self/fd/63",
            ):
                moved = started._replace(prefix=(*started.prefix[:verb], "-w", path, *started.prefix[verb:]))
                done = start(stage, moved, *stage.host.words(), "dotdot", "roots_of_processes", pass_fds=fds)
                assert done.returncode in (0, 125), (path, done.stderr)
                if done.returncode == 0:
                    assert failures(parse_verdicts(done.stdout.decode()), ["dotdot", "roots_of_processes"]) == []
                assert stage.host.secret.encode() not in done.stdout + done.stderr
                assert b"Traceback" not in done.stderr


def test_a_program_in_wait_gets_nothing_of_who_joins(probe: Path) -> None:
    """CVE-2016-9962: between joining and execve the joining process is one of the host's, in reach of those inside."""
    with Stage(probe) as stage, stage.way("exec", "--watch") as started:
        for _ in range(JOINS):
            assert start(stage, started, "--descriptors").returncode == 0
        said = started.said()
        assert "ESCAPED" not in said, said
        assert said.count("seen ") >= JOINS // 4, said


@pytest.mark.root_only
def test_a_volume_target_that_changes(probe: Path) -> None:
    """CVE-2021-30465: a component of the target is exchanged for a link while a second run mounts on it."""
    with Stage(probe) as stage:
        bait = stage.folder / "bait"
        (bait / "volume").mkdir(parents=True)
        lab = stage.lab()
        with lab.start("run", "--", "/probe", "--exchange", str(bait), stdout=subprocess.PIPE) as first:
            try:
                assert first.stdout is not None and first.stdout.readline() == b"waiting\n"
                second = ways.sandbox(lab, stage.host)
                prefix = tuple(word.replace(":/volume", ":/place/volume") for word in second.prefix)
                ran = 0
                for _ in range(RACES):
                    done = start(
                        stage, second._replace(prefix=prefix), *stage.host.words(), "dotdot", "roots_of_processes"
                    )
                    assert done.returncode in (0, 125) and b"Traceback" not in done.stderr, done.stderr
                    ran += done.returncode == 0
                    if done.returncode == 0:
                        assert failures(parse_verdicts(done.stdout.decode()), ["dotdot", "roots_of_processes"]) == []
                assert list((bait / "volume").iterdir()) == [] and stage.host.harm() == []
                assert ran
            finally:
                first.terminate()
                first.wait(timeout=SECONDS)

"""kill -9, a full disk and a broken cable at every stage of push, fetch, pull and clone: the same command again succeeds.

Nothing that was acknowledged is lost on either side, and what a command leaves is removed by the next one.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.transfer.http_server import HttpServer
from tests.transfer.ssh_server import SshServer

from . import faults, lab
from .child import CAMPAIGN, ENVIRON, envgit, start
from .conftest import Fresh
from .cutting_proxy import CuttingProxy
from .test_hook_coverage import unannounced

CUTS = 40 if CAMPAIGN else 5
KILLS = 40 if CAMPAIGN else 4
POINTS = 10_000 if CAMPAIGN else 8 if os.geteuid() == 0 else 4
"""Of the steps of a command, at how many it is killed; each program at others."""
PROGRAMS = ("git", "dulwich")


class Pair(NamedTuple):
    """A project and the bare repository that it shares, side by side in one folder."""

    project: Path
    bare: Path

    def copy(self, name: str) -> Pair:
        folder = lab.copy(self.project.parent, self.project.parent.with_name(name))
        git(folder / "lab/.envgit", "config", "remote.origin.url", str(folder / "bare.git"))
        return Pair(folder / "lab", folder / "bare.git")

    def remove(self) -> None:
        if self.project.exists():
            lab.remove(self.project)
        lab.remove(self.project.parent)


def environ(program: str) -> dict[str, str]:
    return {**ENVIRON, "ENVGIT_GIT": program}


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], env=dict(ENVIRON), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).strip()


@pytest.fixture
def pair(fresh: Fresh, tmp_path: Path) -> Pair:
    """The project is one commit ahead of what the bare repository has on main; that has one more on `side`, and a tag."""
    source = fresh()
    folder = tmp_path / "pair"
    folder.mkdir()
    project = folder / "lab"
    source.rename(project)
    bare = folder / "bare.git"
    git(folder, "init", "-q", "--bare", "-b", "main", "bare.git")
    git(bare, "config", "receive.fsckObjects", "true")
    git(bare, "config", "http.receivepack", "true")
    git(project / ".envgit", "push", "-q", str(bare), "main~1:refs/heads/main", "side:refs/heads/side")
    envgit(project, "remote", "add", "origin", "../bare.git").good()
    lab.copy(project, folder / "other")
    other = folder / "other"
    envgit(other, "reset", "--hard").good()
    envgit(other, "checkout", "side").good()
    envgit(other, "reset", "--hard").good()
    envgit(other, "run", "--", "/bin/true").good()
    lab.edit(other, {"usr/share/doc/more": os.urandom(200_000), "etc/more": b"more\n"})
    envgit(other, "commit", "-m", "more").good()
    git(other / ".envgit", "tag", "v9", "side")
    git(other / ".envgit", "push", "-q", str(bare), "side", "v9")
    lab.remove(other)
    return Pair(project, bare)


class Work(NamedTuple):
    """A command. `where`: "lab" in the project, or beside it; `done`: what is true on both sides after it."""

    name: str
    words: tuple[str, ...]
    where: str
    done: Callable[[Pair], bool]


def _tip(folder: Path, name: str) -> str:
    return git(folder, "for-each-ref", "--format=%(objectname)", name)


def _pushed(pair: Pair) -> bool:
    return _tip(pair.bare, "refs/heads/main") == _tip(pair.project / ".envgit", "refs/heads/main")


def _fetched(pair: Pair) -> bool:
    own = pair.project / ".envgit"
    return (
        _tip(own, "refs/remotes/origin/side") == _tip(pair.bare, "refs/heads/side")
        and _tip(own, "refs/tags/v9") == _tip(pair.bare, "refs/tags/v9") != ""
    )


def _cloned(pair: Pair) -> bool:
    own = pair.project.parent / "clone/.envgit"
    return _tip(own, "refs/heads/main") == _tip(pair.bare, "refs/heads/main") and git(own, "fsck", "--strict") == ""


WORKS = (
    Work("push", ("push", "-u", "origin", "main"), "lab", _pushed),
    Work("fetch", ("fetch", "origin"), "lab", _fetched),
    Work("clone", ("clone", "bare.git", "clone"), "", _cloned),
)


def problems_after(pair: Pair, work: Work, program: str) -> list[str]:
    """Return what a user would complain about when the command, run again after it was broken off, ended."""
    folder = pair.project.parent / work.where
    found = []
    again = envgit(folder, *work.words, environ=environ(program))
    if work.name == "clone" and "is an envgit repository already" in again.err:
        if not work.done(pair):  # it had got all the way, or it is in the way of the next one
            found.append(f"half a clone is in the way: {again}")
    elif again.status:
        found.append(f"again it fails: {again}")
    elif not work.done(pair):
        found.append(f"again it says that it is done: {again}")
    places = [pair.project, *([pair.project.parent / "clone"] if work.name == "clone" else [])]
    for place in places:
        if not place.exists():
            found.append(f"there is no {place.name}")
            continue
        found += [f"fsck of {place.name}: {problem}" for problem in lab.observe(place).problems]
        found += [f"git fsck of {place.name}: {line}" for line in lab.git_fsck(place)]
        found += [f"left behind: {path}" for path in left_behind(place)]
    found += [
        f"git fsck of the other side: {line}"
        for line in git(pair.bare, "fsck", "--strict").splitlines()
        if "dangling" not in line
    ]
    found += [
        f"a ref that nobody has: {ref}"
        for ref in git(pair.bare, "for-each-ref", "--format=%(refname)").split()
        if "envgit" in ref
    ]
    return found


def left_behind(place: Path) -> list[Path]:
    folder = place / ".envgit"
    inside = [
        *folder.rglob("*.lock"),
        *folder.glob("objects/pack/tmp_*"),
        *folder.glob("incoming/*"),
        *folder.glob("tmp_*"),
    ]
    return [
        path
        for path in (*inside, *place.glob(".envgit-clone-*"))
        if path.name != "lock" and path != folder / "incoming/.lock"
    ]


def some_of(steps: list[str], first: int) -> list[tuple[int, str]]:
    """Return up to POINTS steps with their numbers, evenly; `first` shifts them."""
    stride = -(-len(steps) // POINTS)
    return list(enumerate(steps))[first % stride :: stride]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("work", WORKS, ids=lambda work: str(work.name))
def test_killed_at_every_step(pair: Pair, work: Work, program: str) -> None:
    done = pair.copy("done")
    result, steps = faults.record(
        done.project.parent / work.where, work.words, lambda: os.environ.update(ENVGIT_GIT=program)
    )
    assert result.status == 0 and work.done(done), result
    done.remove()
    assert len(steps) >= 8, steps
    wrong = []
    killed = 0
    points = some_of(steps, PROGRAMS.index(program))
    for k, step in points:
        point = pair.copy(f"point{k}")
        ended = envgit(
            point.project.parent / work.where, *work.words, prepare=faults.kill_at(k), environ=environ(program)
        )
        killed += ended.killed
        wrong += [f"{k} {step}: {problem}" for problem in problems_after(point, work, program)]
        point.remove()
    assert wrong == []
    assert killed >= len(points) / 2


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO] if CAMPAIGN else [errno.ENOSPC])
@pytest.mark.parametrize("work", WORKS, ids=lambda work: str(work.name))
def test_a_disk_that_fails_at_every_step(pair: Pair, work: Work, error: int) -> None:
    _, steps = faults.record(pair.copy("done").project.parent / work.where, work.words)
    wrong = []
    for k, step in some_of(steps, error):
        point = pair.copy(f"point{k}")
        ended = envgit(point.project.parent / work.where, *work.words, prepare=faults.fail_at(k, error))
        if ended.status and not ended.is_clear_error():
            wrong.append(f"{k} {step}: no clear error: {ended}")
        wrong += [f"{k} {step}: {problem}" for problem in problems_after(point, work, "git")]
        point.remove()
    assert wrong == []


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("work", WORKS, ids=lambda work: str(work.name))
def test_killed_at_any_moment(pair: Pair, work: Work, program: str) -> None:
    """Also while git or a child that checks is at work: they end, or do no harm."""
    started = time.monotonic()
    first = pair.copy("first")
    assert envgit(first.project.parent / work.where, *work.words, environ=environ(program)).status == 0
    whole = time.monotonic() - started
    first.remove()
    wrong = []
    for k in range(KILLS):
        point = pair.copy(f"point{k}")
        running = start(point.project.parent / work.where, *work.words, environ=environ(program))
        time.sleep(whole * (k + 0.5) / KILLS)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        wrong += [f"{k}: {problem}" for problem in problems_after(point, work, program)]
        point.remove()
    assert wrong == []


# the way there breaks


class Way(NamedTuple):
    """The bare repositories of copies over HTTP, by a cable that can be cut."""

    server: HttpServer
    top: Path


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    with HttpServer(tmp_path) as server:
        yield Way(server, tmp_path)


def point_to(pair: Pair, way: Way, port: int) -> None:
    url = f"http://127.0.0.1:{port}/{pair.bare.relative_to(way.top)}"
    git(pair.project / ".envgit", "config", "remote.origin.url", url)


def over(work: Work, pair: Pair, way: Way, port: int) -> Work:
    """Return the command over HTTP."""
    point_to(pair, way, port)
    if work.name != "clone":
        return work
    return work._replace(words=("clone", f"http://127.0.0.1:{port}/{pair.bare.relative_to(way.top)}", "clone"))


def everything_in(project: Path) -> dict[str, bytes]:
    """Return refs, HEAD and names of packs: what a transfer that failed must not have changed."""
    folder = project / ".envgit"
    found = {"packs": " ".join(sorted(path.name for path in (folder / "objects/pack").iterdir())).encode()}
    for path in [folder / "HEAD", folder / "packed-refs", *sorted((folder / "refs").rglob("*"))]:
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("work", WORKS, ids=lambda work: str(work.name))
def test_a_cable_that_breaks(pair: Pair, work: Work, way: Way, program: str) -> None:
    first = pair.copy("first")
    with CuttingProxy(way.server.port) as cable:
        whole = over(work, first, way, cable.port)
        result = envgit(first.project.parent / work.where, *whole.words, environ=environ(program))
        assert result.status == 0 and work.done(first), result
        carried = cable.carried
    first.remove()
    wrong = []
    failed = 0
    for k in range(CUTS):
        point = pair.copy(f"point{k}")
        with CuttingProxy(way.server.port, after=1 + carried * k // CUTS) as cable:
            broken = over(work, point, way, cable.port)
            before = everything_in(point.project)
            ended = envgit(point.project.parent / work.where, *broken.words, environ=environ(program))
        failed += ended.status != 0
        if ended.status and not ended.is_clear_error():
            wrong.append(f"{k}: no clear error: {ended}")
        if ended.status and everything_in(point.project) != before:
            wrong.append(f"{k}: a failed {work.name} changed something: {ended}")
        if ended.status and (point.project.parent / "clone").exists():
            wrong.append(f"{k}: a failed clone left its folder")
        direct = over(work, point, way, way.server.port)
        wrong += [f"{k}: {problem}" for problem in problems_after(point, direct, program)]
        point.remove()
    assert wrong == []
    assert failed >= CUTS - 2


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("work", WORKS[:2], ids=lambda work: str(work.name))
def test_ssh_that_breaks(pair: Pair, work: Work, program: str, tmp_path: Path) -> None:
    """At moments of the whole: while it connects, talks, sends, and waits for the answer."""
    with SshServer(tmp_path / "ssh") as server:
        variables = {**environ(program), **server.variables}

        def over_ssh(name: str) -> Pair:
            point = pair.copy(name)
            git(point.project / ".envgit", "config", "remote.origin.url", server.url(point.bare))
            return point

        first = over_ssh("first")
        started = time.monotonic()
        assert envgit(first.project, *work.words, environ=variables).good() and work.done(first)
        whole = time.monotonic() - started
        first.remove()
        wrong = []
        for k in range(KILLS):
            point = over_ssh(f"point{k}")
            before = everything_in(point.project)
            running = start(point.project, *work.words, environ=variables)
            time.sleep(whole * (k + 1) / (KILLS + 1))
            server.cut()
            ended = running.wait()
            if ended.status and not ended.is_clear_error():
                wrong.append(f"{k}: no clear error: {ended}")
            if ended.status and everything_in(point.project) != before:
                wrong.append(f"{k}: a failed {work.name} changed something: {ended}")
            git(point.project / ".envgit", "config", "remote.origin.url", str(point.bare))
            wrong += [f"{k}: {problem}" for problem in problems_after(point, work, program)]
            point.remove()
    assert wrong == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_server_that_dies_while_it_receives(pair: Pair, way: Way, program: str) -> None:
    """receive-pack is killed when it has the pack: our side must not believe that it was pushed."""
    work = over(WORKS[0], pair, way, way.server.port)
    hook = pair.bare / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    hook.chmod(0o755)
    git(pair.bare, "config", "core.hooksPath", str(hook.parent))
    before = everything_in(pair.project)
    ended = envgit(pair.project, *work.words, environ=environ(program))
    assert ended.is_clear_error(), ended
    assert everything_in(pair.project) == before
    hook.unlink()
    assert problems_after(pair, work, program) == []


def test_control_a_lost_object_is_seen(pair: Pair) -> None:
    """The checks above do notice."""
    assert envgit(pair.project, *WORKS[0].words).status == 0
    for path in (pair.bare / "objects").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(AssertionError):
        problems_after(pair, WORKS[0], "git")


@pytest.mark.parametrize("work", WORKS[:2], ids=lambda work: str(work.name))
def test_every_mutation_is_announced(pair: Pair, work: Work) -> None:
    """Else the kills above would miss it. What git does in a quarantine is its own, and removed whole."""
    found = unannounced(pair.project, work.words)
    assert [line for line in found if " incoming/" not in line] == []

"""The monitor of many runs, good and failing, keeps no descriptor and no child of any of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from envgit.errors import SandboxError
from envgit.exec import linux, runner
from envgit.exec.launch import Sandbox, launch
from envgit.exec.process import end
from envgit.exec.reactor import Reactor
from envgit.exec.spec import LiveRoot, Mount, SandboxSpec

MakeSpec = Callable[..., SandboxSpec]
ROUNDS = 6


class Broken(Exception):
    """What a companion raises here."""


class Failing(runner.Companions):
    """Fails at one moment. What started() was handed is its own: it closes it."""

    def __init__(self, moment: str) -> None:
        self._moment = moment

    def created(self, pid: int) -> None:
        if self._moment == "created":
            raise Broken

    def started(self, sandbox: Sandbox, reactor: Reactor) -> None:
        if sandbox.route >= 0:
            os.close(sandbox.route)
        if self._moment == "started":
            raise Broken

    def ended(self, status: int) -> None:
        if self._moment == "ended":
            raise Broken


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def nothing_is_left(work: Callable[[], object]) -> None:
    work()  # what is opened once and for all
    before = descriptors()
    for _ in range(ROUNDS):
        work()
    assert descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


needs_tun = pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="the host has no /dev/net/tun")


@pytest.mark.parametrize("terminal", [False, True], ids=["plain", "terminal"])
@pytest.mark.parametrize("network", ["none", pytest.param("tap", marks=needs_tun)])
@pytest.mark.parametrize("moment", ["never", "created", "on_started", "started", "console", "ended", "no companions"])
def test_runs(make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, moment: str, network: str, terminal: bool) -> None:
    def on_started(pid: int, start_time: int) -> None:
        if moment == "on_started":
            raise Broken

    def work() -> None:
        spec = make_spec("true", network=network, terminal=terminal)
        companions = None if moment == "no companions" else Failing(moment)
        try:
            status = runner.run(spec, companions=companions, on_started=on_started)
        except Broken:
            assert moment not in ("never", "no companions")
        else:
            assert status == 0 and (moment in ("never", "no companions") or (moment == "console" and not terminal))

    if moment == "console":

        def refuse(*arguments: Any) -> None:
            raise Broken

        monkeypatch.setattr("envgit.exec.console.Console.__init__", refuse)
    nothing_is_left(work)


def test_programs_that_cannot_be_started(make_spec: MakeSpec) -> None:
    spec = make_spec("no-such-program", terminal=True)

    def work() -> None:
        with pytest.raises(SandboxError):
            runner.run(spec)

    nothing_is_left(work)


@pytest.mark.parametrize("failing_pipe", [1, 2])
def test_a_start_without_pipes(make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, failing_pipe: int) -> None:
    spec = make_spec("true")
    pipe, count = os.pipe, 0

    def refuse() -> tuple[int, int]:
        nonlocal count
        count += 1
        if count == failing_pipe:
            raise OSError(errno.EMFILE, "too many open files")
        return pipe()

    monkeypatch.setattr(os, "pipe", refuse)

    def work() -> None:
        nonlocal count
        count = 0
        with pytest.raises(OSError, match="too many"):
            runner.run(spec)

    nothing_is_left(work)


def test_joins_that_cannot_clone(make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    first = launch(make_spec("sleep", "1000"))
    first.release()
    sandbox = first.confirm()
    joining = make_spec("true", root=LiveRoot(sandbox.pid, sandbox.start_time))
    clone = linux.clone_process
    try:
        assert runner.run(joining) == 0  # the control

        def refuse(flags: int) -> int:
            if flags == 0:
                raise OSError(errno.EAGAIN, "no more processes", "clone")
            return clone(flags)

        monkeypatch.setattr(linux, "clone_process", refuse)
        before = descriptors()
        for _ in range(ROUNDS):
            with pytest.raises(SandboxError, match="cannot join the running sandbox: no more processes"):
                runner.run(joining)
        assert descriptors() == before
    finally:
        end(sandbox.pid)


@pytest.mark.root_only
def test_a_source_whose_ids_cannot_be_mapped_is_said_by_both_runners(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    from envgit.exec.oci import foreign

    real = linux.mount_setattr

    def refuse(fd: int, flags: int, set_: int, clear: int = 0, userns_fd: int = 0) -> None:
        if set_ == linux.MOUNT_ATTR_IDMAP:
            raise OSError(errno.EINVAL, "Invalid argument", "mount_setattr")
        real(fd, flags, set_, clear, userns_fd)

    spec = make_spec("true", mounts=(Mount("bind", b"/x", os.fsencode(tmp_path)),))
    monkeypatch.setattr(linux, "mount_setattr", refuse)
    warnings: list[str] = []
    assert runner.run(spec, on_warning=warnings.append) == 0
    assert [each for each in warnings if "belong to nobody inside: Invalid argument" in each]
    mount = os.open(tmp_path, os.O_RDONLY)
    before = descriptors()
    again: list[str] = []
    foreign._map_ids(spec, {0: mount}, again.append)
    assert [each for each in again if "belong to nobody inside: Invalid argument" in each]
    assert descriptors() == before
    os.close(mount)

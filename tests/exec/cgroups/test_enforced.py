"""Limits on this machine's own control groups, in whatever way root has them here: they bite, they are counted, they go."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.errors import SandboxError, UsageError
from envgit.exec.cgroups import hierarchy, tree
from envgit.exec.cgroups.diagnosis import diagnose_limits
from envgit.exec.cgroups.group import Group, create_group, find_group
from envgit.exec.cgroups.limits import Limits, check_ulimits, make_limits, may_raise, raise_hard_limits
from envgit.exec.idmap import wait_status
from envgit.exec.launch import launch
from envgit.exec.spec import SandboxSpec
from tests.exec.cgroups.conftest import ALLOCATE, FORK, SPIN, Start

Make = Callable[..., Group]
pytestmark = pytest.mark.root_only


def folders(group: Group) -> list[str]:
    return [line[line.index("/") :] for line in group.record]


def read_all(fd: int) -> str:
    with os.fdopen(fd) as file:
        return file.read()


def output(start: Start, group: Group | None, *argv: str) -> tuple[int, str]:
    """Run a program in a group; return its status and what it printed."""
    out_read, out_write = os.pipe()
    held = start(*argv, stdout=out_write)
    os.close(out_write)
    if group is not None:
        group.add(held.pid)
    status = held.run()
    return status, read_all(out_read)


def test_nothing_is_missing_here() -> None:
    found = diagnose_limits()
    assert found.ok and "memory, cpus, pids" in found.detail, found


def test_memory(start: Start, make_group: Make) -> None:
    group = make_group(make_limits("64m", "64m"))
    assert group.notices == ()
    status, out = output(start, group, *ALLOCATE, "128")
    assert (status, out) == (137, "")
    assert group.oom_kills() == 1
    peak = group.stats()
    assert peak is not None and (peak.memory_peak_bytes or 0) > 48 << 20 and peak.memory_limit_bytes == 64 << 20


def test_memory_below_the_limit_and_without_one(start: Start, make_group: Make) -> None:
    """The control: the same program is not killed where the limit allows it, nor where there is none."""
    group = make_group(make_limits("64m", "64m"))
    assert output(start, group, *ALLOCATE, "16") == (0, f"{16 << 20}\n")
    assert group.oom_kills() == 0
    unlimited = make_group(Limits(), want_stats=True)
    assert output(start, unlimited, *ALLOCATE, "128") == (0, f"{128 << 20}\n")
    assert unlimited.oom_kills() == 0


def test_cpus(start: Start, make_group: Make) -> None:
    group = make_group(make_limits(cpus="0.2"))
    status, out = output(start, group, *SPIN)
    assert status == 0 and float(out) < 0.35  # of one second: a period may begin before and one end after it
    stats = group.stats()
    assert stats is not None and 0 < (stats.cpu_ns or 0) < 0.6e9


def test_cpus_without_a_limit(start: Start, make_group: Make) -> None:
    """The control, given a few tries: the machine may be busy with other things."""
    group = make_group(Limits(), want_stats=True)
    assert any(float(output(start, group, *SPIN)[1]) > 0.35 for _ in range(10))


def test_pids(start: Start, make_group: Make) -> None:
    group = make_group(make_limits(pids_limit="10"))
    out_read, out_write = os.pipe()
    held = start(*FORK, stdout=out_write)
    os.close(out_write)
    group.add(held.pid)
    held.release()
    assert os.read(out_read, 10) == b"9\n"
    stats = group.stats()
    assert stats is not None and stats.pids == 10 == len(group.processes())
    group.kill()
    assert held.wait() == 137
    assert read_all(out_read) == ""  # nobody has the other end any more


def test_pids_without_a_limit(start: Start, make_group: Make) -> None:
    group = make_group(Limits(), want_stats=True)
    out_read, out_write = os.pipe()
    held = start(*FORK, stdout=out_write)
    os.close(out_write)
    group.add(held.pid)
    held.release()
    assert os.read(out_read, 10) == b"60\n"
    group.kill()
    assert held.wait() == 137 and read_all(out_read) == ""


def test_a_fork_bomb_is_killed_whole(start: Start, make_group: Make) -> None:
    group = make_group(make_limits(pids_limit="30"))
    held = start(sys.executable, "-S", "-c", "import os\nwhile True:\n try: os.fork()\n except OSError: pass")
    group.add(held.pid)
    held.release()
    assert tree.wait_until(lambda: len(group.processes()) >= 30, 30)
    group.kill()
    assert held.wait() == 137
    assert group.processes() == ()


def test_freeze_and_thaw(start: Start, make_group: Make) -> None:
    group = make_group(Limits(), want_stats=True)
    held = start(sys.executable, "-S", "-c", "while True: pass")
    group.add(held.pid)
    held.release()

    def used() -> int:
        stats = group.stats()
        assert stats is not None and stats.cpu_ns is not None
        return stats.cpu_ns

    assert tree.wait_until(lambda: used() > 50_000_000, 30)
    assert group.freeze()
    before = used()
    assert not tree.wait_until(lambda: used() - before > 20_000_000, 0.3)
    group.thaw()
    assert tree.wait_until(lambda: used() - before > 20_000_000, 30)


def test_another_process_finds_it(start: Start, make_group: Make) -> None:
    group = make_group(make_limits("64m"))
    held = start("sleep", "60")
    group.add(held.pid)
    held.release()
    script = (
        "import sys; from envgit.exec.cgroups.group import find_group\n"
        "group = find_group(tuple(sys.argv[1:])); print(group.stats().memory_limit_bytes, group.processes())\n"
        "group.kill(); print(group.remove())"
    )
    command = [sys.executable, "-c", script, *group.record]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert held.wait() == 137
    assert done.stdout.split("\n")[0] == f"{64 << 20} ({held.pid},)"
    group.remove()
    assert find_group(group.record) is None and find_group(()) is None


def test_nothing_is_left(make_group: Make) -> None:
    fds = os.listdir("/proc/self/fd")
    group = create_group(f"gone-{os.getpid()}", make_limits("64m", cpus="1", pids_limit="9"))
    if group.way == "scope":  # not there before its first process, and systemd's to remove
        return
    assert all(map(os.path.isdir, folders(group))) and folders(group)
    assert group.remove() and group.stats() is None
    assert not any(map(os.path.isdir, folders(group))) and os.listdir("/proc/self/fd") == fds
    assert group.remove()  # again is no error


CREATE_AND_WAIT = """
import os, sys, signal
from envgit.exec.cgroups.group import create_group
from envgit.exec.cgroups.limits import make_limits
group = create_group(sys.argv[1], make_limits("64m", cpus="1", pids_limit="9"))
print("\\n".join(group.record), flush=True)
print("", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("killed", [True, False])
def test_a_killed_maker_leaves_nothing_for_long(
    killed: bool, make_group: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next group made beside it sweeps; a living maker's empty group stays."""
    monkeypatch.setattr(tree, "SWEEP_SECONDS", 0.0)
    command = [sys.executable, "-c", CREATE_AND_WAIT, f"leftover-{os.getpid()}-{killed}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout is not None
        record = []
        while line := maker.stdout.readline().strip():
            record.append(line)
        paths = [line[line.index("/") :] for line in record]
        if not paths:  # a scope of systemd, see above
            maker.kill()
            return
        try:
            assert paths and all(map(os.path.isdir, paths))
            if killed:
                maker.kill()
                maker.wait(30)
            make_group(make_limits(pids_limit="5"))
            left = [os.path.isdir(path) for path in paths]
            assert left == [not killed] * len(paths)
        finally:
            maker.kill()
            maker.wait(30)
            group = find_group(tuple(record))
            assert group is None or group.remove()


def test_many_at_once_sweep_once(make_group: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[str] = []
    monkeypatch.setattr(tree, "remove_leftovers", swept.append)
    monkeypatch.setattr(tree, "_swept", {})
    for _ in range(20):
        make_group(make_limits(pids_limit="5"))
    assert len(swept) == len(set(swept))


def test_a_name_in_use_is_refused(make_group: Make) -> None:
    group = make_group(make_limits(pids_limit="5"))
    if group.way == "scope":
        return
    name = os.path.basename(folders(group)[0]).removeprefix(tree.PREFIX).removesuffix(".scope")
    with pytest.raises(SandboxError, match="File exists"):
        create_group(name, make_limits(pids_limit="5"))
    assert all(map(os.path.isdir, folders(group)))


def test_no_limit_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hierarchy, "PROC", "/nonexistent")
    monkeypatch.setattr(tree, "read", lambda path: pytest.fail(path))
    group = create_group("none", make_limits(shm_size="1g", ulimits=("core=0",)))
    group.add(os.getpid())
    assert (group.record, group.notices, group.rlimits, group.stats(), group.remove()) == ((), (), (), None, True)


def test_a_higher_hard_limit_is_given_from_outside(start: Start) -> None:
    """Root of the sandbox's user namespace may not raise a hard limit; root of the machine does it for it, where it can."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = ((resource.RLIMIT_NOFILE, 64, hard + 1),)
    assert start("true", rlimits=limit, namespace=True).run() == 125  # the control
    held = start("true", rlimits=limit, namespace=True)
    if may_raise():
        check_ulimits(limit)
        raise_hard_limits(held.pid, limit)
        assert held.run() == 0
    else:
        with pytest.raises(UsageError, match="CAP_SYS_RESOURCE"):
            check_ulimits(limit)
        with pytest.raises(SandboxError, match=f"refused --ulimit nofile=64:{hard + 1}"):
            raise_hard_limits(held.pid, limit)


def test_a_sandbox_in_a_group(
    make_spec: Callable[..., SandboxSpec], make_group: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    """The whole of a sandbox, its first process included, is in the group before its program starts."""
    spec = make_spec("bash", "-c", "a=xxxxxxxxxxxxxxxx; for i in {1..23}; do a=$a$a; done; echo done")  # 128 MB
    for limits, status, kills, said in (
        (make_limits("64m", "64m", pids_limit="20"), 137, 1, ""),
        (make_limits("1g"), 0, 0, "done\n"),
    ):
        group = make_group(limits)
        first = launch(spec)
        group.add(first.pid)
        first.release()
        assert wait_status(first.confirm().pid) == status
        assert (group.oom_kills(), capfd.readouterr().out) == (kills, said)
        spec = spec._replace(root=make_spec("true").root)


def test_paths_of_this_machine_come_from_proc() -> None:
    own = Path("/proc/self/cgroup").read_text()
    here = hierarchy.read_hierarchies()
    assert own and (here.unified or here.v1)
    for place in (*here.v1.values(), *((here.unified,) if here.unified else ())):
        assert str(os.getpid()) in tree.read(f"{place.path}/cgroup.procs").split()

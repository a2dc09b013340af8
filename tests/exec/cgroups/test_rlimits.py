"""Without a group: what resource limits enforce, and the words for what they do not. Also for root, with no group in sight."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Callable, Iterator

import pytest

from envgit.errors import SandboxError
from envgit.exec.cgroups import fallback, hierarchy, tree
from envgit.exec.cgroups.diagnosis import diagnose_limits
from envgit.exec.cgroups.group import Group, create_group
from envgit.exec.cgroups.limits import UNLIMITED, make_limits, raise_hard_limits
from envgit.exec.launch import launch
from envgit.exec.process import end
from envgit.exec.runner import run
from envgit.exec.spec import SandboxSpec
from tests.exec.cgroups.conftest import ALLOCATE, FORK, Start

MakeSpec = Callable[..., SandboxSpec]


@pytest.fixture(autouse=True)
def no_groups(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Root may write groups; here nobody sees any."""
    if os.geteuid() == 0:
        monkeypatch.setattr(hierarchy, "parse_hierarchies", lambda mounts, own: hierarchy.Hierarchies(None, {}))
    yield


def group_of(
    memory: str | None = None, cpus: str | None = None, pids: str | None = None, ulimits: tuple[str, ...] = ()
) -> Group:
    return create_group("rlimits", make_limits(memory, None, cpus, pids, ulimits=ulimits))


@pytest.mark.user_only
def test_the_notices_of_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine of version 1; with systemd and version 2 there is nothing to say (see test_scope)."""
    here = hierarchy.read_hierarchies()
    if not here.v1:
        monkeypatch.setattr(hierarchy, "parse_hierarchies", lambda mounts, own: hierarchy.Hierarchies(None, {}))
    group = group_of("64m", "1.5", "100")
    reason = "no writable control group (version 1, root only)" if here.v1 else "no control groups are mounted here"
    assert group.notices == (
        "--memory is enforced for the private memory of each process alone, not for the sandbox as a whole: "
        f"{reason}; see envgit doctor",
        f"--cpus is not enforced: {reason}; see envgit doctor",
        "--pids-limit is enforced for each user inside alone, not for the sandbox as a whole: "
        f"{reason}; see envgit doctor",
    )
    assert group.way == "rlimits" and group.record == ()
    found = diagnose_limits()
    assert not found.ok and "--cpus is not enforced" in found.detail and "see envgit doctor" not in found.detail


def test_only_what_was_asked_for_is_mentioned() -> None:
    group = group_of(None, "1.5")
    assert len(group.notices) == 1 and group.notices[0].startswith("--cpus is not enforced: ") and group.rlimits == ()
    assert create_group("stats", make_limits(), want_stats=True).notices == ()


def test_rlimits_that_stand_in() -> None:
    data, nproc = resource.RLIMIT_DATA, resource.RLIMIT_NPROC
    assert group_of("64m", None, "9").rlimits == ((data, 64 << 20, 64 << 20), (nproc, 9, 9))
    asked = group_of("64m", None, "9", ulimits=("data=1000:2000", "nproc=-1"))
    assert asked.rlimits == ((data, 1000, 2000), (nproc, 9, 9))


def test_before_user_namespaces_counted_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux 5.13 counts all of the caller's processes: such a limit would refuse the sandbox's first one."""
    releases = {release: fallback.counts_inside(release) for release in ("5.13.0-52-generic", "5.14.0", "6.1", "4.19")}
    assert releases == {"5.13.0-52-generic": False, "5.14.0": True, "6.1": True, "4.19": False}
    monkeypatch.setattr(fallback, "counts_inside", lambda release: False)
    group = group_of(None, None, "9")
    assert group.rlimits == () and group.notices[0].startswith("--pids-limit is not enforced: ")


def test_memory_of_each_process(start: Start) -> None:
    rlimits = group_of("64m").rlimits
    assert start(*ALLOCATE, "128", rlimits=rlimits).run() == 1  # MemoryError
    assert start(*ALLOCATE, "16", rlimits=rlimits).run() == 0
    assert start(*ALLOCATE, "128").run() == 0


@pytest.mark.user_only
def test_pids_of_each_user(start: Start) -> None:
    """Counted in the sandbox's user namespace alone: the caller has more processes than that already."""
    made = {}
    for name, rlimits in (("limited", group_of(None, None, "10").rlimits), ("free", ())):
        out_read, out_write = os.pipe()
        held = start("timeout", "-s", "KILL", "60", *FORK, rlimits=rlimits, namespace=True, stdout=out_write)
        os.close(out_write)
        held.release()
        made[name] = int(os.read(out_read, 10))
        os.kill(-held.pid, 9)  # timeout leads a group of all of them
        held.wait()
        os.close(out_read)
    assert made == {"limited": 8, "free": 60}  # timeout and its program are the other two


def test_in_a_sandbox(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    double = "a=xxxxxxxxxxxxxxxx; for i in {1..23}; do a=$a$a; done; echo ${#a}"  # 128 MB
    assert run(make_spec("bash", "-c", double, rlimits=group_of("64m").rlimits)) != 0
    said = capfd.readouterr()
    assert said.out == "" and "cannot allocate" in said.err
    assert run(make_spec("bash", "-c", double)) == 0
    assert capfd.readouterr().out == f"{16 << 23}\n"


@pytest.mark.parametrize(("limit", "children"), [("12", 11), (None, 30)])
def test_processes_in_a_sandbox(make_spec: MakeSpec, limit: str | None, children: int) -> None:
    """Counted from outside: bash tries again for half a minute when it cannot fork."""
    rlimits = group_of(None, None, limit).rlimits
    spec = make_spec("bash", "-c", "for i in {1..30}; do sleep 60 & done 2>/dev/null; wait", rlimits=rlimits)
    first = launch(spec)
    first.release()
    pid = first.confirm().pid
    try:

        def count() -> int:
            return len(tree.read(f"/proc/{pid}/task/{pid}/children").split())

        assert tree.wait_until(lambda: count() >= children, 30)
        assert not tree.wait_until(lambda: count() > children, 0.5)
    finally:
        end(pid)


def test_the_least_memory_is_enough_to_start(make_spec: MakeSpec) -> None:
    assert run(make_spec("true", rlimits=group_of("6m").rlimits)) == 0


def test_ulimits_reach_the_program(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    asked = make_limits(ulimits=("nofile=64:128", "core=0", "fsize=1024000")).ulimits
    assert run(make_spec("bash", "-c", "ulimit -Sn; ulimit -Hn; ulimit -c; ulimit -f", rlimits=asked)) == 0
    assert capfd.readouterr().out == "64\n128\n0\n1000\n"


def test_only_what_is_above_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda number: (10, 10))
    monkeypatch.setattr(resource, "prlimit", lambda *words: calls.append(words))
    raise_hard_limits(5, ((7, 1, 10), (6, 1, 11), (4, 0, UNLIMITED)))
    assert calls == [(5, 6, (1, 11)), (5, 4, (0, UNLIMITED))]

    def refuse(*words: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(resource, "prlimit", refuse)
    with pytest.raises(SandboxError, match=re.escape("refused --ulimit nofile=1:unlimited")) as caught:
        raise_hard_limits(5, ((7, 1, UNLIMITED),))
    assert "fs.nr_open" in (caught.value.hint or "")

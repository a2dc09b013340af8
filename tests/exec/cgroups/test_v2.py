"""Version 2: limits against a hierarchy in memory; killing, freezing, removing against the kernel's own where mounted."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from envgit.exec.cgroups import group, hierarchy, tree, v2
from envgit.exec.cgroups.group import create_group, find_group
from envgit.exec.cgroups.hierarchy import Hierarchies, Place
from envgit.exec.cgroups.kind import Usage
from envgit.exec.cgroups.limits import make_limits
from envgit.exec.cgroups.v2 import LEAF, find_parent
from tests.exec.cgroups.conftest import Start
from tests.exec.cgroups.fake_kernel import FakeKernel

MOUNT = "/sys/fs/cgroup"
ALL = "cpu io memory pids"
ME = os.getpid()
LIMITS = make_limits("64m", "96m", "1.5", "100")


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hierarchy, "SYSTEMD_MARK", "/nonexistent")


def install(monkeypatch: pytest.MonkeyPatch, kernel: FakeKernel, own: str) -> None:
    """Make `own` this process's group."""
    kernel.install(monkeypatch)
    place = Place(f"{MOUNT}{own}", MOUNT)
    kernel.folders[place.path].processes.add(ME)
    monkeypatch.setattr(group, "read_hierarchies", lambda: Hierarchies(place, {}))


def test_every_limit_below_the_real_root(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(MOUNT, ALL, real_root=True)
    install(monkeypatch, kernel, "")
    kernel.folders[MOUNT].processes.add(1)
    made = create_group("one", LIMITS)
    assert (made.way, made.notices, made.rlimits, made.record) == ("v2", (), (), (f"v2:{MOUNT}/envgit-one",))
    files = kernel.folders[f"{MOUNT}/envgit-one"].files
    assert files == {
        "memory.max": str(64 << 20),
        "memory.swap.max": str(32 << 20),
        "cpu.max": "150000 100000",
        "pids.max": "100",
    }
    made.add(4711)
    assert made.processes() == (4711,)
    assert not kernel.remove(f"{MOUNT}/envgit-one")
    made.kill()
    assert made.remove() and not kernel.exists(f"{MOUNT}/envgit-one") and find_group(made.record) is None


def test_a_monitor_alone_in_its_group_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The no-internal-process rule: as in a service with `Delegate=yes`."""
    kernel = FakeKernel(MOUNT, ALL)
    kernel.folders[MOUNT].handed_on = set(ALL.split())
    kernel.add(f"{MOUNT}/own")
    install(monkeypatch, kernel, "/own")
    made = create_group("one", LIMITS)
    assert made.notices == () and made.record == (f"v2:{MOUNT}/own/envgit-one",)
    assert kernel.folders[f"{MOUNT}/own/{LEAF}"].processes == {ME}
    # the next one of the same monitor, and of its children, finds it so
    place = Place(f"{MOUNT}/own/{LEAF}", MOUNT)
    monkeypatch.setattr(group, "read_hierarchies", lambda: Hierarchies(place, {}))
    assert create_group("two", LIMITS).record == (f"v2:{MOUNT}/own/envgit-two",)


def test_strangers_are_not_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell in the same group: the group above serves if it is ours, otherwise none does."""
    kernel = FakeKernel(MOUNT, ALL)
    kernel.folders[MOUNT].handed_on = set(ALL.split())
    kernel.add(f"{MOUNT}/above", handed_on="memory pids")
    kernel.add(f"{MOUNT}/above/own", processes={ME + 1})
    install(monkeypatch, kernel, "/above/own")
    made = create_group("one", LIMITS)
    assert made.record == (f"v2:{MOUNT}/above/envgit-one",) and made.notices == ()
    assert "/above/cgroup.subtree_control=+cpu" in kernel.log
    kernel.owned = {f"{MOUNT}/above/own"}
    refused = create_group("two", LIMITS)
    assert refused.way == "rlimits" and len(refused.notices) == 3
    assert kernel.folders[f"{MOUNT}/above/own"].processes == {ME, ME + 1}


def test_a_controller_that_is_not_delegated(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(MOUNT, "memory pids")
    kernel.folders[MOUNT].handed_on = {"memory", "pids"}
    kernel.add(f"{MOUNT}/own")
    install(monkeypatch, kernel, "/own")
    made = create_group("one", LIMITS)
    assert made.way == "v2" and made.rlimits == ()
    assert made.notices == (
        "--cpus is not enforced: the cpu controller is not delegated to this user; see envgit doctor",
    )


def test_a_container_full_of_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing to climb to: the mount point is a container's own group."""
    from envgit.exec.cgroups.diagnosis import choose_fix

    kernel = FakeKernel(MOUNT, ALL)
    kernel.folders[MOUNT].processes.add(1)
    install(monkeypatch, kernel, "")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    made = create_group("one", LIMITS)
    assert made.way == "rlimits" and "no control group is delegated to this process" in made.notices[1]
    fix = choose_fix(Hierarchies(Place(MOUNT, MOUNT), {}), frozenset({"cpu"}))
    assert fix.startswith(f"mkdir -p {MOUNT}/init && ") and "cgroup.procs" in fix


def test_under_systemd_only_what_is_delegated_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(MOUNT, ALL, real_root=True)
    kernel.folders[MOUNT].handed_on = set(ALL.split())
    kernel.add(f"{MOUNT}/session.scope")
    install(monkeypatch, kernel, "/session.scope")
    monkeypatch.setattr(v2, "booted_with_systemd", lambda: True)
    marked: set[str] = set()

    def getxattr(path: str, name: str) -> bytes:
        if path in marked and name == "user.delegate":
            return b"1"
        raise OSError(61, "No data available")

    monkeypatch.setattr(os, "getxattr", getxattr)
    own = Place(f"{MOUNT}/session.scope", MOUNT)
    assert find_parent(own, v2.CONTROLLERS) is None and kernel.log == []
    marked.add(own.path)
    found = find_parent(own, v2.CONTROLLERS)
    assert found is not None and found.path == own.path and found.controllers >= v2.CONTROLLERS


def test_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(MOUNT, ALL, real_root=True)
    install(monkeypatch, kernel, "")
    wanted = {None: str(64 << 20), "64m": "0", "-1": None}
    for number, (swap, value) in enumerate(wanted.items()):
        create_group(f"swap{number}", make_limits("64m", swap))
        assert kernel.folders[f"{MOUNT}/envgit-swap{number}"].files.get("memory.swap.max") == value
    kernel.swap = False
    made = create_group("without", make_limits("64m"))
    assert made.notices == ("--memory-swap is not enforced: the kernel does not count swap",)


def test_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(MOUNT, ALL, real_root=True)
    install(monkeypatch, kernel, "")
    made = create_group("one", LIMITS)
    kernel.folders[f"{MOUNT}/envgit-one"].files.update(
        {
            "memory.current": "5000", "memory.stat": "anon 3000\ninactive_file 1000", "memory.peak": "9000",
            "cpu.stat": "usage_usec 1234\nuser_usec 1000\nsystem_usec 234", "pids.current": "3",
            "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=1 wios=2",
            "memory.events": "low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 0",
        }
    )  # fmt: skip
    assert made.stats() == Usage(4000, 9000, 64 << 20, 1_234_000, 3, 11, 22)
    assert made.oom_kills() == 2
    again = find_group(made.record)
    assert again is not None and again.stats() == made.stats() and again.oom_kills() == 2
    made.remove()
    assert made.stats() is None and made.oom_kills() == 0


# the kernel's own


@pytest.fixture
def real_group() -> Iterator[v2.GroupV2]:
    """A group beside this process's own; a hybrid machine has one as well, if without controllers."""
    here = hierarchy.read_hierarchies()
    if here.unified is None or not tree.writable(here.unified.path):
        pytest.skip("version 2 control groups are not mounted, or read-only")
    path = f"{here.unified.path}/envgit-test-{os.getpid()}"
    made = v2.GroupV2(path, (tree.make(path),))
    yield made
    made.kill()
    assert made.remove() and not os.path.exists(path)


@pytest.mark.root_only
def test_really_killed(real_group: v2.GroupV2, start: Start) -> None:
    held = start(sys.executable, "-S", "-c", "import os\nfor _ in range(3): os.fork()\nwhile True: pass")
    real_group.add(held.pid)
    held.release()
    assert tree.wait_until(lambda: len(real_group.processes()) == 8, 30)
    assert not tree.remove(real_group.path)
    usage = real_group.stats()
    assert usage is not None and tree.wait_until(lambda: (real_group.stats() or usage).cpu_ns != usage.cpu_ns, 30)
    real_group.kill()
    assert held.wait() == 137 and real_group.processes() == ()


@pytest.mark.root_only
def test_really_killed_before_linux_had_a_file_for_it(
    real_group: v2.GroupV2, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = tree.write

    def old(path: str, text: str) -> None:
        if path.endswith("/cgroup.kill"):
            raise FileNotFoundError(2, "No such file or directory", path)
        write(path, text)

    monkeypatch.setattr(tree, "write", old)
    held = start(sys.executable, "-S", "-c", "import os\nfor _ in range(3): os.fork()\nwhile True: pass")
    real_group.add(held.pid)
    held.release()
    assert tree.wait_until(lambda: len(real_group.processes()) == 8, 30)
    real_group.kill()
    assert held.wait() == 137 and real_group.processes() == ()


@pytest.mark.root_only
def test_really_frozen(real_group: v2.GroupV2, start: Start) -> None:
    held = start(sys.executable, "-S", "-c", "while True: pass")
    real_group.add(held.pid)
    held.release()

    def used() -> int:
        usage = real_group.stats()
        assert usage is not None and usage.cpu_ns is not None
        return usage.cpu_ns

    assert tree.wait_until(lambda: used() > 50_000_000, 30)
    assert real_group.freeze()
    before = used()
    assert not tree.wait_until(lambda: used() - before > 20_000_000, 0.3)
    real_group.thaw()
    assert tree.wait_until(lambda: used() - before > 20_000_000, 30)


@pytest.mark.root_only
def test_the_rules_of_the_fake_are_those_of_the_kernel(real_group: v2.GroupV2, start: Start) -> None:
    """No internal processes, in both directions, where the kernel has any controller to hand on here."""
    held = start("true")
    controllers = tree.read(f"{real_group.path}/cgroup.controllers").split()
    with pytest.raises(FileNotFoundError):
        tree.write(f"{real_group.path}/cgroup.subtree_control", "+memory" if "memory" not in controllers else "+none")
    real_group.add(held.pid)
    assert not tree.remove(real_group.path)
    for name in controllers[:1]:
        with pytest.raises(OSError, match="busy"):
            tree.write(f"{real_group.path}/cgroup.subtree_control", f"+{name}")
    assert v2._enable(real_group.path, frozenset(controllers)) == frozenset()  # a stranger is inside: not moved
    assert real_group.processes() == (held.pid,)

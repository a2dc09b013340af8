"""A scope of systemd: what is asked of a manager that only records, and what a real one makes of it.

The real one is a user's manager started for the test in a mount namespace where the machine seems booted with systemd. It works
below a version 2 group of its own, which on hybrid machines has no controllers: it takes and reports the limits then, and the
kernel is not asked to enforce them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envgit.errors import SandboxError
from envgit.exec.cgroups import diagnosis, group, hierarchy, scope, tree
from envgit.exec.cgroups.group import Group, create_group, find_group
from envgit.exec.cgroups.hierarchy import Hierarchies, Place
from envgit.exec.cgroups.limits import Limits, make_limits
from envgit.exec.cgroups.scope import Manager, OpenScope, Scope
from envgit.exec.cgroups.v2 import GroupV2
from tests.exec.cgroups.conftest import Start

LIMITS = make_limits("64m", "96m", "1.5", "100")
UID = 1001
MANAGER_NAME = scope.MANAGER[0]
MANAGER_GROUP = "/user.slice/user-1001.slice/user@1001.service"

BUSCTL = """#!/bin/sh
# stands in for busctl and systemd: records the call, answers, moves the processes
folder=$(dirname "$0")
for word; do printf '%s\\n' "$word"; done >> "$folder/call"
env >> "$folder/environment"
case "$*" in
*get-property*) printf 's "%s"\\n' "{group}" ;;
*StartTransientUnit*)
    if [ -e "$folder/refuse" ]; then echo "Call failed: Unit already exists." >&2; exit 1; fi
    unit=$(printf '%s\\n' "$@" | grep '\\.scope$')
    [ -e "$folder/idle" ] || while [ $# -gt 0 ]; do
        if [ "$1" = PIDs ]; then
            for pid in $4 $5; do
                mkdir -p "$folder/proc/$pid"
                echo "0::{group}/app.slice/$unit" > "$folder/proc/$pid/cgroup"
            done
            mkdir -p "$folder/tree{group}/app.slice/$unit"
            printf '%s\\n%s\\n' "$4" "$5" > "$folder/tree{group}/app.slice/$unit/cgroup.procs"
        fi
        shift
    done
    echo 'o "/org/freedesktop/systemd1/job/4812"' ;;
esac
"""


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with systemd and version 2 groups, of which this user has none; return the folder of its busctl."""
    busctl = tmp_path / "busctl"
    busctl.write_text(BUSCTL.replace("{group}", MANAGER_GROUP))
    busctl.chmod(0o755)
    manager = tmp_path / f"tree{MANAGER_GROUP}"
    manager.mkdir(parents=True)
    (manager / "cgroup.controllers").write_text("cpu memory pids\n")
    session = tmp_path / "tree/user.slice/user-1001.slice/session-1.scope"
    session.mkdir(parents=True)
    (session / "cgroup.controllers").write_text("memory pids\n")
    (tmp_path / "booted").mkdir()
    (tmp_path / f"run/{UID}").mkdir(parents=True)
    (tmp_path / f"run/{UID}/bus").touch()
    place = Place(str(session), str(tmp_path / "tree"))
    monkeypatch.setattr(group, "read_hierarchies", lambda: Hierarchies(place, {}))
    monkeypatch.setattr(diagnosis, "read_hierarchies", lambda: Hierarchies(place, {}))
    monkeypatch.setattr(hierarchy, "PROC", str(tmp_path / "proc"))
    monkeypatch.setattr(hierarchy, "SYSTEMD_MARK", str(tmp_path / "booted"))
    monkeypatch.setattr(scope, "RUNTIME_FOLDER", str(tmp_path / "run"))
    monkeypatch.setattr(scope, "find_helper", lambda name: str(busctl))
    monkeypatch.setattr(scope, "REMOVE_SECONDS", 0.2)
    monkeypatch.setattr(os, "geteuid", lambda: UID)
    return tmp_path


def hierarchies() -> Hierarchies:
    """Return what the fixture made of this machine."""
    return group.__dict__["read_hierarchies"]()  # type: ignore[no-any-return]


def finish(made: Group, folder: Path) -> None:
    """Do systemd's part of the end: remove the scope's folder."""
    shutil.rmtree(folder)
    assert made.remove()


def test_what_systemd_is_asked_for(systemd: Path, start: Start) -> None:
    made = create_group("one", LIMITS)
    assert (made.way, made.notices, made.rlimits, made.record) == ("scope", (), (), ())
    assert made.processes() == () and made.stats() is None
    held = start("true")
    made.add(held.pid)
    words = (systemd / "call").read_text().split("\n")
    begin = words.index("StartTransientUnit")
    assert words[begin - 5 : begin] == ["--timeout=5", "call", *scope.MANAGER]
    holder = words[words.index("PIDs") + 4]
    assert " ".join(words[begin:]).strip() == (
        "StartTransientUnit ssa(sv)a(sa(sv)) envgit-one.scope fail 11 Description s a sandbox of envgit "
        f"PIDs au 2 {held.pid} {holder} Delegate b true CollectMode s inactive-or-failed "
        "MemoryAccounting b true CPUAccounting b true TasksAccounting b true "
        f"MemoryMax t {64 << 20} MemorySwapMax t {32 << 20} CPUQuotaPerSecUSec t 1500000 TasksMax t 101 0"
    )
    environment = (systemd / "environment").read_text()
    assert f"DBUS_SESSION_BUS_ADDRESS=unix:path={systemd}/run/{UID}/bus" in environment and "HOME=" not in environment
    folder = systemd / f"tree{MANAGER_GROUP}/app.slice/envgit-one.scope"
    assert made.record == (f"scope:{folder}",) and made.processes() == (held.pid,)
    (folder / "memory.events").write_text("oom 1\noom_kill 1\n")
    assert made.oom_kills() == 1
    again = find_group(made.record)
    assert again is not None and again.oom_kills() == 1
    os.kill(int(holder), 0)
    finish(made, folder)
    with pytest.raises(ProcessLookupError):
        os.kill(int(holder), 0)


def test_only_what_was_asked_for_is_set(systemd: Path) -> None:
    manager = Manager("", "", "", frozenset())

    def words(limits: Limits) -> str:
        return " ".join(Scope("x", limits, manager).words((1, 2)))

    assert "Max" not in words(make_limits(cpus="2")) and "CPUQuotaPerSecUSec t 2000000" in words(make_limits(cpus="2"))
    assert f"MemorySwapMax t {2**64 - 1}" in words(make_limits("64m", "-1"))
    assert "Memory" not in words(make_limits(pids_limit="5")).replace("MemoryAccounting", "")


def test_no_scope_for_statistics_alone(systemd: Path) -> None:
    assert create_group("one", Limits(), want_stats=True).way == "rlimits"
    assert not (systemd / "call").exists()


def test_a_refusal_is_told_and_leaves_no_holder(systemd: Path, start: Start) -> None:
    (systemd / "refuse").touch()
    made = create_group("one", LIMITS)
    fds = os.listdir("/proc/self/fd")
    with pytest.raises(
        SandboxError, match="refused a scope for the sandbox: Call failed: Unit already exists"
    ) as caught:
        made.add(start("true").pid)
    assert caught.value.hint == "envgit doctor"
    assert made.remove() and len(os.listdir("/proc/self/fd")) == len(fds) + 1  # what the waiting process is held by
    holder = (systemd / "call").read_text().split("\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(holder[holder.index("PIDs") + 4]), 0)


def test_a_job_that_does_nothing_is_told(systemd: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope, "_START_SECONDS", 0.1)
    (systemd / "idle").touch()
    with pytest.raises(SandboxError, match="did not put the sandbox into envgit-one.scope"):
        create_group("one", LIMITS).add(start("true").pid)


def test_the_holder_ends_with_the_monitor(systemd: Path) -> None:
    script = (
        "import os, signal\nfrom envgit.exec.cgroups.scope import _start_holder\n"
        "print(_start_holder()[0], flush=True)\nsignal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as monitor:
        assert monitor.stdout is not None
        holder = int(monitor.stdout.readline())
        state = Path(f"/proc/{holder}/stat")
        assert "(" in state.read_text()
        monitor.kill()
        monitor.wait(30)

    def ended() -> bool:
        try:
            return state.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    assert tree.wait_until(ended, 30)


def test_processor_time_that_is_not_delegated(systemd: Path) -> None:
    """Older versions of systemd give users memory and pids alone."""
    (systemd / f"tree{MANAGER_GROUP}/cgroup.controllers").write_text("memory pids\n")
    made = create_group("one", LIMITS)
    assert made.way == "scope" and made.notices == (
        "--cpus is not enforced: the cpu controller is not available to this caller; see envgit doctor",
    )
    fix = diagnosis.choose_fix(hierarchies(), frozenset({"cpu"}))
    assert "Delegate=cpu io memory pids" in fix


def test_without_a_bus(systemd: Path) -> None:
    (systemd / f"run/{UID}/bus").unlink()
    made = create_group("one", LIMITS)
    assert made.way == "rlimits" and "the user's systemd does not answer" in made.notices[1]
    assert "enable-linger" in diagnosis.choose_fix(hierarchies(), LIMITS.controllers)


def test_doctor(systemd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = Scope.remove

    def systemd_and_remove(self: Scope) -> bool:
        shutil.rmtree(self.path)
        return remove(self)

    monkeypatch.setattr(Scope, "remove", systemd_and_remove)
    found = diagnosis.diagnose_limits()
    assert found == (True, "enforced by a scope of systemd (control groups version 2): memory, cpus, pids", "")


BUS_CONFIGURATION = (
    '<busconfig><type>session</type><listen>systemd:</listen><policy context="default">'
    '<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>'
)


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """A bus without systemd on it; return a function that calls over it with the real busctl and gives the complaint."""
    busctl, daemon = shutil.which("busctl"), shutil.which("dbus-daemon")
    assert busctl and daemon, "the packages systemd and dbus are needed"
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="envgit-bus-") as name:  # names of sockets are short
        folder = Path(name)
        runtime = folder / "bus/run" / str(os.geteuid() or UID)
        runtime.mkdir(parents=True)
        (folder / "bus.conf").write_text(BUS_CONFIGURATION)
        command = [daemon, f"--config-file={folder}/bus.conf", f"--address=unix:path={runtime}/bus", "--nofork"]
        monkeypatch.setattr(scope, "RUNTIME_FOLDER", str(runtime.parent))
        if os.geteuid() == 0:
            monkeypatch.setattr(os, "geteuid", lambda: UID)

        def complain(*words: str) -> str:
            with pytest.raises(SandboxError) as caught:
                scope.call(str(busctl), *words)
            return caught.value.message

        with subprocess.Popen(command) as running:
            assert tree.wait_until((runtime / "bus").exists, 30)
            yield complain
            running.terminate()


def test_a_real_busctl_understands(bus: Callable[..., str]) -> None:
    """The message is built and sent, and only its receiver is missing; a wrong one (the control) is not even built."""
    words = Scope("one", LIMITS, Manager("", "", "", frozenset())).words((1, 2))
    assert "org.freedesktop.systemd1 was not provided" in bus("call", *scope.MANAGER, *words)
    assert "was not provided" in bus("get-property", *scope.MANAGER, "ControlGroup")
    assert "was not provided" not in bus("call", *scope.MANAGER, *words[:-1])
    assert "was not provided" not in bus("call", *scope.MANAGER, *words, "more")


# a real systemd

START = """
mount -t tmpfs none /run/systemd && mkdir /run/systemd/system || exit 1
for old in /sys/fs/cgroup/systemd; do mountpoint -q $old && umount $old; done
echo $$ > "$1/cgroup.procs" && exec env -i PATH=/usr/bin:/bin HOME="$2" XDG_RUNTIME_DIR="$2/run/1001" \
    DBUS_SESSION_BUS_ADDRESS="unix:path=$2/run/1001/bus" SYSTEMD_UNIT_PATH="$2/units" /lib/systemd/systemd --user
"""
UNITS = {
    "default.target": "[Unit]\nDescription=the bus and nothing else\nWants=dbus.socket\nAfter=dbus.socket\n",
    "dbus.socket": "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=%t/bus\n",
    "dbus.service": "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\n[Service]\nType=notify\nNotifyAccess=main\n"
    "ExecStart=/usr/bin/dbus-daemon --config-file=%h/bus.conf --address=systemd: --nofork --nopidfile --systemd-activation\n",
}


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    here = hierarchy.read_hierarchies()
    if here.unified is None or not tree.writable(here.unified.path):
        pytest.skip("version 2 control groups are not mounted, or read-only")
    own = GroupV2(f"{here.unified.path}/envgit-test-systemd-{os.getpid()}")
    tree.ensure(own.path)
    os.makedirs("/run/systemd", exist_ok=True)
    (tmp_path / "units").mkdir()
    (tmp_path / f"run/{UID}").mkdir(parents=True, mode=0o700)
    (tmp_path / "bus.conf").write_text(BUS_CONFIGURATION)
    for name, text in UNITS.items():
        (tmp_path / "units" / name).write_text(text)
    monkeypatch.setattr(os, "geteuid", lambda: UID)
    monkeypatch.setattr(scope, "RUNTIME_FOLDER", str(tmp_path / "run"))
    monkeypatch.setattr(scope, "booted_with_systemd", lambda: True)
    monkeypatch.setattr(scope, "find_helper", shutil.which)
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", START, "sh", own.path, str(tmp_path)]
    log = tmp_path / "log"
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as running:
        found = [scope.find_manager(here)]

        def answers() -> bool:
            found.append(scope.find_manager(here))
            return found[-1] is not None

        try:
            assert tree.wait_until(answers, 10), log.read_text()
            assert found[-1] is not None
            yield found[-1]
        finally:
            own.kill()
            running.kill()
            running.wait(30)
            assert own.remove()


@pytest.mark.root_only
def test_a_real_systemd_makes_keeps_and_removes_a_scope(
    manager: Manager, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, text: str) -> None:
        """As the kernel does for a user, whose session's group is below one of root's."""
        raise PermissionError(13, "Permission denied", path)

    made = Scope(f"real-{os.getpid()}", LIMITS, manager)
    first, second, third = (start("sleep", "60") for _ in range(3))
    made.add(first.pid)
    assert made.path.startswith(manager.mount_point) and made.path.endswith(f"/{made.unit}")
    again = find_group(made.record)
    assert isinstance(again, OpenScope)
    with monkeypatch.context() as refusing:
        refusing.setattr(tree, "write", refuse)
        again.add(second.pid)
    made.add(third.pid)
    assert set(made.processes()) == {first.pid, second.pid, third.pid}
    unit = "/org/freedesktop/systemd1/unit/" + made.unit.replace("-", "_2d").replace(".", "_2e")
    properties = {"MemoryMax": 64 << 20, "MemorySwapMax": 32 << 20, "CPUQuotaPerSecUSec": 1_500_000, "TasksMax": 101}
    for name, value in properties.items():
        asked = ("get-property", MANAGER_NAME, unit, f"{MANAGER_NAME}.Scope", name)
        assert scope.call(manager.busctl, *asked) == f"t {value}"
    asked = ("get-property", MANAGER_NAME, unit, f"{MANAGER_NAME}.Scope", "OOMPolicy")
    assert scope.call(manager.busctl, *asked) == 's "continue"'  # one killed process does not end the others
    for held in (first, second, third):
        held.release()
    made.kill()
    assert ({held.wait() for held in (first, second, third)}, made.processes()) == ({137}, ())
    assert not tree.wait_until(lambda: not tree.exists(made.path), 0.5)  # what was counted can still be read
    assert made.stats() is not None and made.remove() and not tree.exists(made.path)


@pytest.mark.root_only
def test_a_real_systemd_refuses_a_second_scope_of_a_name(manager: Manager, start: Start) -> None:
    first, second = (Scope(f"twice-{os.getpid()}", LIMITS, manager) for _ in range(2))
    held = start("sleep", "60")
    first.add(held.pid)
    with pytest.raises(SandboxError, match="refused a scope for the sandbox: Call failed: .*already"):
        second.add(start("sleep", "60").pid)
    assert second.remove()
    first.kill()
    assert first.remove()

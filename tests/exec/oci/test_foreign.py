"""The same spec under the built-in runner and under runc: programs see the same. Whoever started pytest: root or not."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.errors import HostUnsupported, ProgramNotExecutable, ProgramNotFound, SandboxError
from envgit.exec import idmap, runner
from envgit.exec.cgroups.limits import Limits
from envgit.exec.oci.foreign import find_runtime, run_foreign
from envgit.exec.oci.foreign_groups import group_path, remove_left_groups
from envgit.exec.oci.to_oci import Extras
from envgit.exec.seccomp.filter import default_profile, default_program
from envgit.exec.spec import DEFAULT_CAPABILITIES, LiveRoot, Mount, SandboxSpec

MakeSpec = Callable[..., SandboxSpec]
POSTURE = "grep -E '^(Cap|NoNewPrivs|Seccomp:|Sig[BI]|Uid|Gid|Groups)' /proc/self/status"
EXTRAS = Extras(seccomp=default_profile(DEFAULT_CAPABILITIES))


def _both(
    capfd: pytest.CaptureFixture[str], make_spec: MakeSpec, *argv: str, **fields: object
) -> list[tuple[int, str]]:
    """Return (status, output) of the built-in runner, then of runc."""
    results = []
    for run in (runner.run, lambda spec: run_foreign(spec, "runc", extras=EXTRAS)):
        spec = make_spec(*argv, **fields)
        spec = spec._replace(seccomp=default_program(spec.capabilities))
        capfd.readouterr()
        status = run(spec)
        results.append((status, capfd.readouterr().out))
    return results


@pytest.mark.parametrize(
    ("argv", "fields", "expect"),
    [
        (("true",), {}, 0),
        (("sh", "-c", "exit 3"), {}, 3),
        (("sh", "-c", "kill -9 $$; sleep 1; echo lives; exit 5"), {}, 5),
        (("sh", "-c", "sh -c 'kill -TERM $$'; exit $?"), {}, 143),
        (("id",), {}, 0),
        (("sh", "-c", "id; echo $HOME"), {"user": b"0:50"}, 0),
        (("env",), {"env": ((b"PATH", b"/bin"), (b"A", b"b c"), (b"E", b""))}, 0),
        (("sh", "-c", "pwd; hostname"), {"cwd": b"/tmp", "hostname": b"other"}, 0),
        (("sh", "-c", "cat /etc/hosts; ls -ln /etc/hosts | cat; echo x >> /etc/hosts"), {"files": ((b"/etc/hosts", b"h\n"),)}, 0),
        (("sh", "-c", POSTURE), {}, 0),
        (("sh", "-c", POSTURE), {"capabilities": ("CAP_CHOWN", "CAP_KILL")}, 0),
        (("sh", "-c", POSTURE), {"no_new_privileges": False}, 0),
        (("sh", "-c", "cat /proc/keys /proc/timer_list; ls /sys/firmware; echo x > /proc/sys/kernel/sysrq; echo $?"), {}, 0),
        (("sh", "-c", "ls /sys/class/net; while read a b c; do echo $a $c; done < /proc/self/uid_map"), {}, 0),
        (("sh", "-c", "touch /new; touch /tmp/new; touch /run/new; ls /run /tmp"), {"readonly_root": True}, 0),
        (("sh", "-c", "ls -a /proc/self/fd | grep -c ."), {}, 0),
        (("sh", "-c", "ulimit -n; ulimit -c"), {"rlimits": ((7, 64, 128), (4, 0, 0))}, 0),
        (("unshare", "--user", "true"), {}, 1),
        (("sh", "-c", "mount -t tmpfs none /tmp; echo $?"), {}, 0),
        (("sh", "-c", "chown 5:6 /tmp; stat -c '%u %g %a' /tmp /run /run/lock /dev/shm"), {}, None),
    ],
)  # fmt: skip
def test_a_program_finds_the_same(
    make_spec: MakeSpec,
    capfd: pytest.CaptureFixture[str],
    argv: tuple[str, ...],
    fields: dict[str, object],
    expect: int | None,
) -> None:
    built_in, foreign = _both(capfd, make_spec, *argv, **fields)
    assert built_in == foreign
    assert expect is None or built_in[0] == expect


def test_volumes_have_the_same_owners_and_modes(
    make_spec: MakeSpec, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = tmp_path / "data"
    source.mkdir()
    (source / "in").write_text("hello\n")
    mounts = (
        Mount("bind", b"/srv/data", os.fsencode(source)),
        Mount("bind", b"/srv/ro", os.fsencode(source), True),
        Mount("bind", b"/srv/file", os.fsencode(source / "in")),
        Mount("tmpfs", b"/srv/memory", options=((b"size", b"1m"),)),
    )
    script = """
        stat -c '%u %g %a' /srv/data/in /srv/ro/in /srv/file /srv/memory; cat /srv/file
        touch /srv/data/out /srv/memory/x; touch /srv/ro/no
    """
    built_in, foreign = _both(capfd, make_spec, "sh", "-c", script, mounts=mounts)
    assert built_in == foreign and built_in[0] == 1
    assert (source / "out").stat().st_uid == os.getuid() and not (source / "no").exists()


def test_failures_are_those_of_the_built_in_runner(make_spec: MakeSpec) -> None:
    with pytest.raises(ProgramNotFound):
        run_foreign(make_spec("nonesuch"), "runc")
    with pytest.raises(ProgramNotFound):
        run_foreign(make_spec("/bin/nonesuch"), "runc")
    with pytest.raises(ProgramNotExecutable):
        run_foreign(make_spec("/etc/passwd"), "runc")
    with pytest.raises(SandboxError, match="no user"):
        run_foreign(make_spec("true", user=b"bob"), "runc")
    with pytest.raises(SandboxError, match="refused"):
        run_foreign(make_spec("true", mounts=(Mount("bind", b"/x", b"/proc"),)), "runc")
    with pytest.raises(SandboxError, match="nothing can be mounted"):
        run_foreign(make_spec("true", mounts=(Mount("bind", b"/proc/x", b"/srv"),)), "runc")


def test_what_a_runtime_cannot_do_is_said(make_spec: MakeSpec) -> None:
    with pytest.raises(SandboxError, match="no OCI runtime 'nonesuch'"):
        run_foreign(make_spec("true"), "nonesuch")
    with pytest.raises(SandboxError, match="cannot join"):
        run_foreign(make_spec("true", root=LiveRoot(1, 1)), "runc")
    with pytest.raises(SandboxError, match="private network"):
        run_foreign(make_spec("true", network="tap"), "runc")
    with pytest.raises(SandboxError, match="revision"):
        run_foreign(make_spec("true", mounts=(Mount("layers", b"/x", layers=(b"/a",)),)), "runc")
    warnings: list[str] = []
    assert run_foreign(make_spec("true"), "runc", on_warning=warnings.append) == 0
    assert any("user namespaces" in warning for warning in warnings)


@pytest.mark.root_only
def test_limits_are_enforced(make_spec: MakeSpec) -> None:
    """The control: without the limit the group has none."""
    for extras, expected in ((EXTRAS._replace(limits=Limits(pids=44)), "44"), (EXTRAS, "max")):
        found: list[str] = []

        def look(pid: int, start: int, found: list[str] = found) -> None:
            for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
                _, controllers, path = line.split(":", 2)
                if controllers in ("pids", "") and (not controllers or not found):
                    folder = Path("/sys/fs/cgroup", controllers, path.lstrip("/"))
                    found += [(folder / "pids.max").read_text().strip()] if (folder / "pids.max").exists() else []

        assert run_foreign(make_spec("sleep", "0.3"), "runc", extras=extras, on_started=look) == 0
        assert found == [expected]


def test_crun_runs_or_says_why_not(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    """crun refuses machines with version 1 and version 2 of control groups side by side."""
    try:
        assert run_foreign(make_spec("sh", "-c", "id -u"), find_runtime("crun"), extras=EXTRAS) == 0
        assert capfd.readouterr().out == "0\n"
    except HostUnsupported as error:
        assert "cgroup" in error.message and error.hint


RUNNER = """
import os, sys
from envgit.exec import idmap
from envgit.exec.spec import *
from envgit.exec.oci.foreign import run_foreign
root = OverlayRoot(tuple(map(os.fsencode, sys.argv[1].split(","))), *map(os.fsencode, sys.argv[2:4]), True)
spec = SandboxSpec(tuple(map(os.fsencode, sys.argv[4:])), root, idmap.choose_idmap(), env=((b"PATH", b"/bin"),))
sys.exit(run_foreign(spec, "runc", on_started=lambda pid, start: print(pid, flush=True)))
"""


def _start(spec: SandboxSpec) -> tuple[subprocess.Popen[bytes], int]:
    root = spec.root
    words = [b",".join(root.lowers), root.upper, root.work, *spec.argv]  # type: ignore[union-attr]
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, *map(os.fsdecode, words)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )
    assert process.stdout
    return process, int(process.stdout.readline())


@pytest.mark.parametrize(
    ("number", "script", "status"),
    [
        (signal.SIGTERM, "sleep 100", 143),
        (signal.SIGINT, "sleep 100", 130),
        (signal.SIGTERM, "trap 'exit 9' TERM; sleep 100 & wait", 9),
        (signal.SIGUSR1, "trap 'exit 8' USR1; sleep 100 & wait", 8),
    ],
)
def test_signals(make_spec: MakeSpec, number: int, script: str, status: int) -> None:
    argv = script.split() if script.startswith("sleep") else ["sh", "-c", f"{script}"]
    process, pid = _start(make_spec(*argv))
    if "trap" in script:
        mask = 1 << (number - 1)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            caught = re.search(r"SigCgt:\t(\w+)", Path(f"/proc/{pid}/status").read_text())
            if caught and int(caught[1], 16) & mask:
                break
            time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(20) == status


def test_kill_9_leaves_nothing(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec("sleep", "1000")
    process, pid = _start(spec)
    before = Path("/proc/self/mountinfo").read_text()
    process.kill()
    process.wait(10)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not os.path.exists(f"/proc/{pid}")
    assert str(tmp_path) not in before
    remove_left_groups()
    left = [path for path in Path("/sys/fs/cgroup").glob("**/envgit-run-*") if f"-{process.pid}-" in path.name]
    assert left == []


@pytest.mark.root_only
def test_groups_of_living_monitors_are_left_alone() -> None:
    """The control of the clean-up: the same folder goes when its monitor is gone."""
    roots = [path for path in Path("/sys/fs/cgroup").iterdir() if (path / "cgroup.procs").exists()]
    assert roots, "no control groups on this machine"
    alive, gone = roots[0] / group_path(os.getpid()), roots[0] / "envgit-run-999999-1"
    alive.mkdir()
    gone.mkdir()
    remove_left_groups()
    assert alive.exists() and not gone.exists()
    remove_left_groups(alive.name)
    assert not alive.exists()


def test_a_terminal(make_spec: MakeSpec) -> None:
    script = shutil.which("script")
    assert script
    spec = make_spec("sh", "-c", "tty; test -t 0 && test -t 1 && echo terminal")
    root = spec.root
    words = [root.lowers[0], root.upper, root.work, *spec.argv]  # type: ignore[union-attr]
    program = RUNNER.replace("env=((b", "terminal=True, env=((b")
    command = shlex.join([sys.executable, "-c", program, *map(os.fsdecode, words)])
    done = subprocess.run(
        [script, "-qec", command, "/dev/null"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )
    assert b"terminal" in done.stdout and done.returncode == 0, done.stdout


def test_ids_of_files_made_inside_are_the_same_on_disk(make_spec: MakeSpec) -> None:
    owners = []
    for run in (runner.run, lambda spec: run_foreign(spec, "runc", extras=EXTRAS)):
        spec = make_spec("sh", "-c", "echo x > /made")
        assert run(spec) == 0
        owners.append(os.stat(spec.root.upper + b"/made").st_uid)  # type: ignore[union-attr]
    assert owners == [idmap.choose_idmap().uids[0].outside] * 2

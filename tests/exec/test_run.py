"""What a program finds when it runs in a sandbox. The whole file runs as whoever started pytest: root or not."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envgit.errors import ProgramNotExecutable, ProgramNotFound, SandboxError
from envgit.exec import child, idmap, linux, process, program, runner
from envgit.exec.mount import system_mounts
from envgit.exec.spec import LiveRoot, Mount, OverlayRoot, SandboxSpec

from .conftest import own

MakeSpec = Callable[..., SandboxSpec]
REFUSED = "Operation not permitted"


def output(capfd: pytest.CaptureFixture[str], spec: SandboxSpec, expect: int = 0) -> str:
    capfd.readouterr()
    status = runner.run(spec)
    captured = capfd.readouterr()
    assert status == expect, captured.err
    return captured.out


def test_status_passes_through(make_spec: MakeSpec) -> None:
    assert runner.run(make_spec("sh", "-c", "exit 7")) == 7


def test_posture(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    leak = os.open("/", os.O_RDONLY)
    os.set_inheritable(leak, True)
    text = output(
        capfd, make_spec("sh", "-c", "ls /proc/1/fd; grep -E '^(Cap|NoNew|Sig[BI])' /proc/self/status; env; pwd")
    )
    os.close(leak)
    assert text.split("\n")[:3] == ["0", "1", "2"]
    for line in (
        "CapInh:\t0000000000000000", "CapPrm:\t00000000800405fb", "CapEff:\t00000000800405fb",
        "CapBnd:\t00000000800405fb", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1",
        "SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000", "HOME=/root", "PATH=/bin",
    ):  # fmt: skip
        assert line in text.split("\n"), text
    variables = {line.split("=")[0] for line in text.split("\n") if "=" in line}
    assert variables <= {"HOME", "PATH", "PWD", "SHLVL", "_", "OLDPWD"}


def test_namespaces_are_its_own(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    kinds = ("user", "mnt", "pid", "net", "uts", "ipc", "cgroup")
    inside = output(capfd, make_spec("readlink", *(f"/proc/self/ns/{kind}" for kind in kinds))).split()
    outside = [os.readlink(f"/proc/self/ns/{kind}") for kind in kinds]
    assert all(a != b for a, b in zip(inside, outside, strict=True))


def test_mounts(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    text = output(capfd, make_spec("cat", "/proc/self/mountinfo", files=((b"/etc/hosts", b"x"),)))
    points = {line.split()[4]: line for line in text.splitlines()}
    assert " - overlay " in points["/"] and "nosuid,nodev" in points["/"]
    assert points["/sys"].split()[5].startswith("ro,")
    assert points["/proc/sys"].split()[5].startswith("ro,")
    assert {"/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/run", "/etc/hosts", "/proc/keys"} <= set(points)
    for point, line in points.items():
        assert "nosuid" in line, line
        known = ("/proc", "/sys", "/dev", "/run", "/etc/hosts")
        assert point == "/" or any(point == k or point.startswith(k + "/") for k in known)


def test_nothing_is_imported_between_clone_and_exec(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    before = set(sys.modules)

    def look(path: bytes, argv: object, environment: object) -> None:
        os.write(1, repr(sorted(set(sys.modules) - before)).encode())
        os._exit(0)

    monkeypatch.setattr(program, "execve", look)
    assert output(capfd, make_spec("true")) == "[]"
    close = child.close_all_but

    def import_late(keep: tuple[int, ...]) -> None:
        importlib.import_module("mailcap")  # what nothing here needs
        close(keep)

    monkeypatch.setattr(child, "close_all_but", import_late)
    assert "'mailcap'" in output(capfd, make_spec("true"))  # the control


@pytest.mark.parametrize("masked", [b"/proc/keys", b"/sys/firmware"])
def test_a_mask_that_fails_is_fatal(make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, masked: bytes) -> None:
    if not os.path.exists(masked):
        pytest.skip("this kernel has nothing to mask there")
    cover = system_mounts.Mask.execute
    fail = False

    def execute(mask: system_mounts.Mask, place: Any) -> None:
        if fail and mask.path == masked:
            raise OSError(errno.EPERM, "not permitted")
        cover(mask, place)

    monkeypatch.setattr(system_mounts.Mask, "execute", execute)
    words = ("touch", "/ran")
    started = make_spec(*words)
    assert runner.run(started) == 0 and ran(started)  # the control: the mask works
    fail = True
    refused = make_spec(*words)
    with pytest.raises(SandboxError, match=f"mask {os.fsdecode(masked)}"):
        runner.run(refused)
    assert not ran(refused)


def ran(spec: SandboxSpec) -> bool:
    assert isinstance(spec.root, OverlayRoot)
    return os.path.exists(os.fsdecode(spec.root.upper) + "/ran")


@pytest.mark.parametrize("missing", ["openat2", "lowerdir+", "mount_setattr", "keyctl"])
def test_old_kernels(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], missing: str
) -> None:
    call = linux._call

    def refuse(name: str, *arguments: int | bytes | None) -> int:
        if name == missing:
            raise OSError(errno.ENOSYS, "not implemented", name)
        if name == "fsconfig" and missing == "lowerdir+" and arguments[2] == b"lowerdir+":
            raise OSError(errno.EINVAL, "invalid", name)
        return call(name, *arguments)

    monkeypatch.setattr(linux, "_call", refuse)
    spec = make_spec("sh", "-c", "id -u; cat /etc/hosts; touch /proc/sys/kernel/x", files=((b"/etc/hosts", b"h\n"),))
    assert output(capfd, spec, 1) == "0\nh\n"


@pytest.mark.parametrize("moment", ["option", "creation"])
def test_many_layers_on_kernels_without_lowerdir_plus(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, moment: str
) -> None:
    """Linux 6.5 and 6.6 refuse the option, older ones take every option and refuse the creation."""
    call = linux._call
    refused: set[object] = set()

    def old_kernel(name: str, *arguments: int | bytes | None) -> int:
        if name == "fsconfig" and arguments[2] == b"lowerdir+":
            refused.add(arguments[0])
            if moment == "creation":
                return 0
            raise OSError(errno.EINVAL, "invalid", name)
        if name == "fsconfig" and arguments[1] == linux.FSCONFIG_CMD_CREATE and arguments[0] in refused:
            refused.clear()
            raise OSError(errno.EINVAL, "invalid", name)
        return call(name, *arguments)

    monkeypatch.setattr(linux, "_call", old_kernel)
    spec = make_spec(
        "sh", "-c", "set -- /layers/*; echo $#; touch /new && ls /new; grep -c staging /proc/self/mountinfo"
    )
    layers = []
    for number in range(100):
        folder = tmp_path / f"a-layer-with-a-long-name-{number}"
        (folder / "layers").mkdir(parents=True)
        (folder / "layers" / str(number)).touch()
        for path in (folder, folder / "layers", folder / "layers" / str(number)):
            own(path)
        layers.append(os.fsencode(folder))
    assert isinstance(spec.root, OverlayRoot)
    root = spec.root._replace(lowers=(*layers, *spec.root.lowers))
    assert output(capfd, spec._replace(root=root), 1) == "100\n/new\n0\n"


def test_program_lookup(make_spec: MakeSpec, lower: Path) -> None:
    with pytest.raises(ProgramNotFound):
        runner.run(make_spec("nonesuch"))
    with pytest.raises(ProgramNotFound):
        runner.run(make_spec("/bin/nonesuch"))
    with pytest.raises(ProgramNotExecutable):
        runner.run(make_spec("/etc/passwd"))
    with pytest.raises(ProgramNotExecutable, match="directory"):
        runner.run(make_spec("/etc"))
    with pytest.raises(SandboxError, match="working directory"):
        runner.run(make_spec("true", cwd=b"/nowhere"))
    with pytest.raises(SandboxError, match="no user"):
        runner.run(make_spec("true", user=b"bob"))


def test_user(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    if idmap.choose_idmap().kind == "single":
        with pytest.raises(SandboxError, match="id map"):
            runner.run(make_spec("id", user=b"ann"))
        return
    text = output(capfd, make_spec("sh", "-c", "id; echo $HOME; grep -E 'Cap(Prm|Eff)' /proc/self/status", user=b"ann"))
    assert "uid=1000(ann) gid=1000(ann) groups=1000(ann),50(extra)" in text
    assert "/home/ann" in text and text.count("0000000000000000") == 2
    assert "uid=7 gid=9 groups=9" in output(capfd, make_spec("id", user=b"7:9"))


def test_injected_files_do_not_reach_upper(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    spec = make_spec("sh", "-c", "cat /etc/hosts; echo more >> /etc/hosts", files=((b"/etc/hosts", b"secret\n"),))
    assert output(capfd, spec) == "secret\n"
    assert isinstance(spec.root, OverlayRoot)
    assert os.stat(spec.root.upper + b"/etc/hosts").st_size == 0


def test_volumes(make_spec: MakeSpec, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "data"
    source.mkdir()
    (source / "in").write_text("hello\n")
    mounts = (Mount("bind", b"/srv/data", os.fsencode(source)), Mount("bind", b"/ro", os.fsencode(source), True))
    spec = make_spec(
        "sh", "-c", "cat /ro/in; echo x > /srv/data/out; echo y > /ro/no; ls -ln /srv/data/in", mounts=mounts
    )
    text = output(capfd, spec)
    assert text.startswith("hello\n") and text.split()[3:5] == ["0", "0"]
    assert (source / "out").stat().st_uid == os.getuid() and not (source / "no").exists()
    for target in (b"/", b"/proc", b"/proc/x", b"/sys", b"/dev/null", b"/bin/../proc", b"rel"):
        with pytest.raises(SandboxError):
            runner.run(make_spec("true", mounts=(Mount("bind", target, os.fsencode(source)),)))
    for path in (b"/", b"/proc", b"/dev/null", b"/sys/kernel"):
        with pytest.raises(SandboxError, match="refused"):
            runner.run(make_spec("true", mounts=(Mount("bind", b"/x", path),)))
    with pytest.raises(SandboxError, match="refused"):
        runner.run(
            make_spec(
                "true", mounts=(Mount("bind", b"/x", os.fsencode(source)),), forbidden_sources=(os.fsencode(source),)
            )
        )


def test_join_sees_the_same_root_in_other_namespaces(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    script = "echo one > /tmp/first; for i in {1..500}; do [ -e /tmp/second ] && exit 0; sleep 0.02; done; exit 5"
    first, pid, start = start_in_background(make_spec("bash", "-c", script))
    try:
        with pytest.raises(SandboxError, match="gone"):
            runner.run(make_spec("true", root=LiveRoot(pid, start + 1)))
        join = LiveRoot(pid, start)
        wait = (
            "while [ ! -e /tmp/first ]; do sleep 0.01; done; cat /tmp/first; echo $$; ls /proc/1/fd; touch /tmp/second"
        )
        assert output(capfd, make_spec("sh", "-c", wait, root=join)) == "one\n1\n0\n1\n2\n"
    finally:
        status = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    assert status == 0


def start_in_background(spec: SandboxSpec) -> tuple[int, int, int]:
    """Return the pid of a forked monitor, and what identifies its sandbox."""
    ready, started = os.pipe()
    monitor = os.fork()
    if monitor == 0:
        status = 125
        try:
            status = runner.run(spec, on_started=lambda pid, start: [os.write(started, b"%d %d" % (pid, start))][:0])
        finally:
            os._exit(status)
    os.close(started)
    pid, start = map(int, os.read(ready, 100).split())
    os.close(ready)
    return monitor, pid, start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(make_spec: MakeSpec, number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)  # CI may ignore it
    handles = f"trap 'exit 9' {number.value}; : > /dev/shm/ready; while :; do sleep 0.02; done"
    for argv, status in ((("sleep", "30"), 128 + number), (("sh", "-c", handles), 9)):
        monitor, _, _ = start_in_background(make_spec(*argv))
        time.sleep(0.3)  # until the trap is set
        os.kill(monitor, number)
        assert os.waitstatus_to_exitcode(os.waitpid(monitor, 0)[1]) == status


def test_killed_monitor_leaves_nothing(make_spec: MakeSpec) -> None:
    monitor, pid, start = start_in_background(make_spec("sleep", "20"))
    assert process.start_time(pid) == start
    os.kill(monitor, signal.SIGKILL)
    os.waitpid(monitor, 0)
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{pid}/exe") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not os.path.exists(f"/proc/{pid}/exe")


def test_nothing_is_left(make_spec: MakeSpec) -> None:
    mounts, fds, here = Path("/proc/self/mountinfo").read_bytes(), os.listdir("/proc/self/fd"), os.getcwd()
    runner.run(make_spec("true"))
    with pytest.raises(SandboxError):
        runner.run(make_spec("nonesuch"))
    assert mounts == Path("/proc/self/mountinfo").read_bytes()
    assert fds == os.listdir("/proc/self/fd") and here == os.getcwd()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_terminal() -> None:
    import pty

    code = "import sys; sys.path[:0] = sys.argv[1:2]; import tests.exec.terminal_demo"
    pid, master = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code, str(Path(__file__).parents[2])])
    text = b""
    try:
        while piece := os.read(master, 4096):
            text += piece
    except OSError:
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text
    assert b"/dev/pts/0" in text


@pytest.mark.parametrize(
    "probe",
    [
        "mount -t tmpfs none /tmp", "mount -o remount,rw /sys", "umount /proc/keys", "mknod /tmp/sda b 8 0",
        "unshare -U true", "unshare -m true", "echo 1 > /proc/sys/kernel/core_pattern", "echo b > /proc/sysrq-trigger",
        "echo x > /sys/kernel/uevent_helper", "hostname evil", "cat /proc/kcore", "ls /proc/1/root/../../work",
        "umount /dev", "echo 100 > /proc/sys/user/max_user_namespaces",
    ],
)  # fmt: skip
def test_escape_probes_fail(make_spec: MakeSpec, probe: str) -> None:
    assert runner.run(make_spec("sh", "-c", probe + " && echo ESCAPED")) != 0 or probe == "cat /proc/kcore"


def test_hostile_links_in_the_root(make_spec: MakeSpec, tmp_path: Path) -> None:
    for name in ("proc", "dev", "sys", "run"):
        spec = make_spec("true")
        assert isinstance(spec.root, OverlayRoot)
        upper = os.fsdecode(spec.root.upper)
        os.symlink("/etc", f"{upper}/{name}")
        with pytest.raises(SandboxError):
            runner.run(spec)


def test_negative_control_default_capabilities_matter(make_spec: MakeSpec) -> None:
    more = ("CAP_SYS_ADMIN", "CAP_CHOWN")
    assert runner.run(make_spec("mount", "-t", "tmpfs", "none", "/tmp", capabilities=more)) == 0
    assert subprocess.run(["true"], check=False).returncode == 0


def test_directory_as_descriptor_is_refused(make_spec: MakeSpec) -> None:
    saved, folder = os.dup(0), os.open("/", os.O_RDONLY)
    os.dup2(folder, 0)
    try:
        with pytest.raises(SandboxError, match="directory of the host"):
            runner.run(make_spec("true"))
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(folder)


def test_host_network(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    script = "readlink /proc/self/ns/net; ls /sys/fs/cgroup; touch /sys/x && echo ESCAPED; exit 0"
    assert output(capfd, make_spec("sh", "-c", script, network="host")) == os.readlink("/proc/self/ns/net") + "\n"


def test_read_only_root(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    script = "touch /no && echo ESCAPED; touch /run/yes /dev/shm/yes && echo fine"
    assert output(capfd, make_spec("sh", "-c", script, readonly_root=True)) == "fine\n"


def test_a_lost_child_signal_is_no_hang(make_spec: MakeSpec) -> None:
    """Another thread of the caller may take SIGCHLD, which it ignores: pytest-xdist's did."""
    stop = threading.Event()
    taker = threading.Thread(target=stop.wait)
    taker.start()
    try:
        for _ in range(20):
            assert runner.run(make_spec("true")) == 0
    finally:
        stop.set()
        taker.join()

"""Volumes against a hostile environment and a changing host; every refusal with what happens without it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envgit.errors import SandboxError
from envgit.exec import linux, runner
from envgit.exec.launch import launch
from envgit.exec.spec import LiveRoot, Mount, SandboxSpec
from tests.exec.conftest import own
from tests.exec.volumes import bind, output, upper_of

MakeSpec = Callable[..., SandboxSpec]


# what is mounted


def test_a_file_a_folder_a_fifo_and_a_socket(
    make_spec: MakeSpec, host: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(host / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(host)  # a socket's name has 107 bytes at most
        listening.bind("sock")
        os.chdir(here)
        mounts = (bind(host), bind(host / "in", b"/etc/one"), bind(host / "fifo", b"/f"), bind(host / "sock", b"/s"))
        spec = make_spec("stat", "-c", "%F", "/x", "/etc/one", "/f", "/s", mounts=mounts)
        assert output(capfd, spec).splitlines() == ["directory", "regular file", "fifo", "socket"]


def test_attributes_of_mounts(make_spec: MakeSpec, host: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mounts = (
        bind(host, b"/rw"), bind(host, b"/ro", readonly=True), bind(host, b"/nox", noexec=True),
        Mount("tmpfs", b"/mem", noexec=True, options=((b"size", b"1048576"), (b"mode", b"700"))),
        Mount("tmpfs", b"/romem", readonly=True),
    )  # fmt: skip
    text = output(capfd, make_spec("sh", "-c", "cat /proc/self/mountinfo; stat -c %a /mem /romem", mounts=mounts))
    options = {line.split()[4]: set(line.split()[5].split(",")) for line in text.splitlines() if " - " in line}
    for target in ("/rw", "/ro", "/nox", "/mem", "/romem"):
        assert {"nosuid", "nodev"} <= options[target], target
    assert ["noexec" in options[target] for target in ("/rw", "/nox", "/mem")] == [False, True, True]
    assert ["ro" in options[target] for target in ("/rw", "/ro", "/romem")] == [False, True, True]
    assert text.split()[-2:] == ["700", "1777"] and "size=1024k" in text


def test_a_size_is_a_limit(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    for size, status in ((b"65536", 1), (b"1048576", 0)):
        mount = Mount("tmpfs", b"/mem", options=((b"size", size),))
        output(capfd, make_spec("sh", "-c", "printf '%0200000d' 1 > /mem/file", mounts=(mount,)), status)


def test_what_lies_above_is_mounted_first(make_spec: MakeSpec, host: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mounts = (bind(host / "in", b"/a/b/file"), Mount("tmpfs", b"/a/b"), bind(host, b"/a"))
    script = "cat /a/b/file; ls /a /a/b"
    assert output(capfd, make_spec("sh", "-c", script, mounts=mounts)).split() == (
        ["hello", "/a:", "b", "in", "/a/b:", "file"]
    )
    assert (host / "b").is_dir()  # the mount point is made in the folder of the host, as docker does
    outside = make_spec("true", mounts=(bind(host, b"/a", readonly=True), Mount("tmpfs", b"/a/new")))
    with pytest.raises(SandboxError, match="read-only mount") as caught:
        runner.run(outside)
    assert caught.value.hint and not (host / "new").exists()


def test_one_target_twice_is_refused(make_spec: MakeSpec, host: Path) -> None:
    with pytest.raises(SandboxError, match="two mounts have the target /x"):
        runner.run(make_spec("true", mounts=(bind(host), Mount("tmpfs", b"//x/."))))


def test_sixty_mounts_and_odd_names(make_spec: MakeSpec, host: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = [b"plain", b" a b ", b"new\nline", b"\xff\xfe", b"back\\slash", b"-rf", b"\xc3\xa4" * 100, b'comma,quote"']
    names += [b"n%d" % number for number in range(70)]
    mounts = []
    for name in names:
        folder = os.fsencode(host) + b"/" + name
        os.mkdir(folder)
        os.close(os.open(folder + b"/mark", os.O_CREAT))
        mounts.append(Mount("bind", b"/srv/" + name, folder))
    script = 'n=0; for f in /srv/*/mark; do n=$((n+1)); done; echo $n; grep -c " /srv/" /proc/self/mountinfo'
    before = os.listdir("/proc/self/fd")
    assert output(capfd, make_spec("sh", "-c", script, mounts=tuple(mounts))).split() == [str(len(names))] * 2
    assert os.listdir("/proc/self/fd") == before


def test_only_the_three_descriptors_reach_the_program(
    make_spec: MakeSpec, host: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mounts = (bind(host), Mount("tmpfs", b"/m"))
    text = output(capfd, make_spec("ls", "/proc/1/fd", mounts=mounts))
    assert text.split() == ["0", "1", "2", "3"]  # 3: the listing itself


def test_a_read_only_root_has_memory_to_write_to(make_spec: MakeSpec, capfd: pytest.CaptureFixture[str]) -> None:
    script = "for d in /tmp /var/tmp /run /dev/shm /etc /; do touch $d/t 2>/dev/null && echo $d; done"
    text = output(capfd, make_spec("sh", "-c", script + "; true", readonly_root=True))
    assert text.split() == ["/tmp", "/var/tmp", "/run", "/dev/shm"]
    own_tmp = (Mount("tmpfs", b"/tmp", readonly=True),)
    text = output(capfd, make_spec("sh", "-c", script + "; true", readonly_root=True, mounts=own_tmp))
    assert text.split() == ["/var/tmp", "/run", "/dev/shm"]


def test_memory_files_and_mounts_around_them(
    make_spec: MakeSpec, host: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = ((b"/etc/hosts", b"ours\n"),)
    (host / "hosts").write_text("theirs\n")
    over = make_spec("cat", "/etc/hosts", files=files, mounts=(bind(host, b"/etc"),))
    assert output(capfd, over) == "ours\n" and (host / "hosts").read_text() == "theirs\n"
    same = make_spec("cat", "/etc/hosts", files=files, mounts=(bind(host / "hosts", b"/etc/hosts"),))
    assert output(capfd, same) == "theirs\n"
    (host / "hosts").unlink()
    output(capfd, make_spec("sh", "-c", "[ ! -e /etc/hosts ]", files=files, mounts=(bind(host, b"/etc"),)))
    assert not (host / "hosts").exists()


def test_mount_points_that_were_made_are_reported(make_spec: MakeSpec, host: Path, lower: Path) -> None:
    spec = make_spec("true", mounts=(bind(host, b"/new/deep"), bind(host / "in", b"/srv/file"), bind(host, b"/root")))
    before = (lower / "root").stat().st_mtime_ns
    start = launch(spec)
    start.release()
    sandbox = start.confirm()
    os.waitpid(sandbox.pid, 0)
    assert sandbox.created == (b"srv", b"srv/file", b"new", b"new/deep") or sorted(sandbox.created) == (
        [b"new", b"new/deep", b"srv", b"srv/file"]
    )
    assert (lower / "root").stat().st_mtime_ns == before
    assert stat.S_ISREG((upper_of(spec) / "srv/file").stat().st_mode)


def test_volumes_are_added_to_a_running_sandbox(
    make_spec: MakeSpec, host: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    start = launch(make_spec("sleep", "60"))
    start.release()
    sandbox = start.confirm()
    try:
        live = LiveRoot(sandbox.pid, sandbox.start_time)
        script = "cat /x/in; touch /x/new; ls -ln /x/in"
        text = output(capfd, make_spec("sh", "-c", script, root=live, mounts=(bind(host), Mount("tmpfs", b"/m"))))
        assert text.startswith("hello\n") and (host / "new").stat().st_uid == os.getuid()
        assert text.split()[3:5] == ["0", "0"] or os.geteuid() == 0
        with pytest.raises(SandboxError, match="revision cannot be mounted"):
            runner.run(make_spec("true", root=live, mounts=(Mount("layers", b"/r", layers=(b"/nowhere",)),)))
    finally:
        os.kill(sandbox.pid, signal.SIGKILL)
        os.waitpid(sandbox.pid, 0)


@pytest.mark.parametrize("missing", ["openat2", "mount_setattr", "lowerdir+"])
def test_old_kernels(
    make_spec: MakeSpec,
    host: Path,
    lower: Path,
    missing: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    real = linux.fsconfig_string

    def refuse(fd: int, key: bytes, value: bytes) -> None:
        if key == b"lowerdir+":
            raise OSError(22, "Invalid argument")
        real(fd, key, value)

    def absent(*arguments: object) -> None:
        raise OSError(38, "Function not implemented")

    if missing == "lowerdir+":
        monkeypatch.setattr(linux, "fsconfig_string", refuse)
    else:
        monkeypatch.setattr(linux, missing, absent)
    mounts = (
        bind(host, b"/ro", readonly=True), Mount("tmpfs", b"/m"),
        Mount("layers", b"/old", b"HEAD:/etc", layers=(os.fsencode(lower),), subpath=b"/etc"),
    )  # fmt: skip
    text = output(capfd, make_spec("sh", "-c", "touch /ro/x /old/x 2>/dev/null; cat /ro/in /old/group", mounts=mounts))
    assert text.startswith("hello\nroot") and not (host / "x").exists() and not (lower / "etc/x").exists()


# revisions


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[tuple[bytes, ...]]:
    """Two layers: the upper one hides a file of the lower one."""
    for name in ("top", "bottom"):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc" / name).write_text(name)
        (tmp_path / name / "etc/both").write_text(name)
    (tmp_path / "bottom/etc/out").symlink_to("/etc/both")
    (tmp_path / "bottom/dev").symlink_to("/proc")
    for name in ("top", "bottom"):
        own(tmp_path / name)
    yield tuple(os.fsencode(tmp_path / name) for name in ("top", "bottom"))


@pytest.mark.parametrize("count", [1, 2])
def test_a_revision_is_read_only_even_with_power_over_mounts(
    make_spec: MakeSpec, layers: tuple[bytes, ...], count: int, capfd: pytest.CaptureFixture[str]
) -> None:
    more = ("CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE")
    mount = Mount("layers", b"/old", b"REV:/etc", layers=layers[:count], subpath=b"/etc")
    probes = "touch /old/new; mount -o remount,bind,rw /old && touch /old/new; rm -f /old/both; ls /old; cat /old/both"
    text = output(capfd, make_spec("sh", "-c", probes, mounts=(mount,), capabilities=more))
    assert text.split() == (["both", "top", "top"] if count == 1 else ["both", "bottom", "out", "top", "top"])
    assert not os.path.exists(layers[0] + b"/etc/new")


def test_control_a_read_only_volume_can_be_remounted_with_that_power(
    make_spec: MakeSpec, host: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Why a revision is never a bare bind mount: and what --cap-add SYS_ADMIN means for volumes (docs/volumes.md)."""
    script = "mount -o remount,bind,rw /x && touch /x/new"
    spec = make_spec("sh", "-c", script, mounts=(bind(host, readonly=True),), capabilities=("CAP_SYS_ADMIN",))
    output(capfd, spec)
    assert (host / "new").exists()


def test_paths_of_a_revision(make_spec: MakeSpec, layers: tuple[bytes, ...], capfd: pytest.CaptureFixture[str]) -> None:
    def mount(subpath: bytes) -> Mount:
        return Mount("layers", b"/old", b"REV:" + subpath, layers=layers, subpath=subpath)

    assert output(capfd, make_spec("cat", "/old", mounts=(mount(b"/etc/both"),))) == "top"
    assert output(capfd, make_spec("cat", "/old", mounts=(mount(b"/etc/out"),))) == "top"
    assert output(capfd, make_spec("ls", "/old", mounts=(mount(b"/"),))) == "dev\netc\n"
    assert output(capfd, make_spec("ls", "/old", mounts=(mount(b"/../../etc/.."),))) == "dev\netc\n"
    for subpath, said in ((b"/none", "REV:/none: No such"), (b"/dev/self", "REV:/dev/self: No such")):
        with pytest.raises(SandboxError, match=said):
            runner.run(make_spec("true", mounts=(mount(subpath),)))


def test_a_path_is_resolved_although_something_is_mounted_meanwhile(
    make_spec: MakeSpec, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """openat2(2) answers EAGAIN to a path with `..` whenever anybody on the machine renames or mounts."""

    def again(*arguments: object) -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(linux, "openat2", again)
    spec = make_spec("cat", "/really/in", mounts=(bind(host, b"/data"),))
    os.symlink("/etc/../really", upper_of(spec) / "data")
    assert runner.run(spec) == 0

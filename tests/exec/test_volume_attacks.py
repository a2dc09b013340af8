"""Volumes whose targets or sources are hostile: links, races, replaced folders; every refusal with its control."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.errors import SandboxError
from envgit.exec import runner
from envgit.exec.mount import sources
from envgit.exec.spec import Mount, OverlayRoot, SandboxSpec
from tests.exec.conftest import own
from tests.exec.volumes import bind, output, upper_of

MakeSpec = Callable[..., SandboxSpec]


# hostile environments

_INTO_KERNEL = (
    "/proc",
    "/proc/sys",
    "/proc/1/root",
    "/sys",
    "/sys/kernel",
    "/dev",
    "/dev/pts",
    "/dev/mqueue",
    "/proc/acpi",
)


@pytest.mark.parametrize("where", [*_INTO_KERNEL, "/", "/../../..", "/dev/null"])
def test_a_link_does_not_lead_a_mount_to_where_the_kernel_is(make_spec: MakeSpec, host: Path, where: str) -> None:
    if not os.path.exists(where):
        where = "/proc/fs"
    spec = make_spec("true", mounts=(bind(host / "in" if where == "/dev/null" else host, b"/data"),))
    os.symlink(where, upper_of(spec) / "data")
    with pytest.raises(SandboxError, match="mount target /data"):
        runner.run(spec)


@pytest.mark.parametrize("where", ["/proc", "/proc/sys/kernel", "/dev/null"])
def test_a_memory_file_is_not_led_there_either(make_spec: MakeSpec, where: str) -> None:
    spec = make_spec("true", files=((b"/etc/hosts", b"x"),))
    target = "/proc/sys/kernel/core_pattern" if where == "/proc/sys/kernel" else where
    (upper_of(spec) / "etc").mkdir()
    own(upper_of(spec) / "etc")
    os.symlink(target, upper_of(spec) / "etc/hosts")
    with pytest.raises(SandboxError, match="mount target /etc/hosts"):
        runner.run(spec)


def test_control_a_link_inside_the_environment_is_honoured(
    make_spec: MakeSpec, host: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec("cat", "/really/deep/in", mounts=(bind(host, b"/data"),))
    os.symlink("../../../really/deep", upper_of(spec) / "data")
    assert output(capfd, spec) == "hello\n"


def test_links_never_leave_the_root(make_spec: MakeSpec, host: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for number, link in enumerate((str(outside), f"/proc/self/root{outside}", "../" * 30 + str(outside)[1:])):
        spec = make_spec("true", mounts=(bind(host, b"/data/sub%d" % number),))
        os.symlink(link, upper_of(spec) / "data")
        try:
            runner.run(spec)
        except SandboxError as error:
            assert "mount target" in error.message
        assert os.listdir(outside) == []


@pytest.mark.parametrize(
    ("name", "what"),
    [("proc", "/proc of the environment"), ("dev", "/dev of the env"), ("sys", "/sys of"), ("run", "/run")],
)
def test_links_and_files_in_place_of_folders_are_named(make_spec: MakeSpec, name: str, what: str) -> None:
    for make in (lambda path: os.symlink("/etc", path), lambda path: path.write_text("x")):
        spec = make_spec("true")
        make(upper_of(spec) / name)
        with pytest.raises(SandboxError, match=f"{what}.*plain directory") as caught:
            runner.run(spec)
        assert caught.value.hint


def test_a_file_in_the_way_is_named(make_spec: MakeSpec, host: Path) -> None:
    for target, said in (
        (b"/etc/passwd/x", "a part of it is a file"),
        (b"/etc/passwd", "is a file of the environment"),
    ):
        with pytest.raises(SandboxError, match=said):
            runner.run(make_spec("true", mounts=(bind(host, target),)))
    spec = make_spec("true", files=((b"/etc/hosts", b"x"),))
    (upper_of(spec) / "etc").write_text("a file")
    with pytest.raises(SandboxError, match="mount target /etc/hosts: a part of it is a file"):
        runner.run(spec)


def test_a_racing_rename_inside_never_puts_the_mount_outside(
    make_spec: MakeSpec, host: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Somebody exchanges a folder of the environment with a link out of it, all the time."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (host / "ours").mkdir()
    spec = make_spec("true", mounts=(bind(host / "ours", b"/race/a/b/c"),))
    upper = upper_of(spec)
    (upper / "race").mkdir()
    (upper / "race/real").mkdir()
    os.symlink(str(outside), upper / "race/link")
    program = """
import os, sys
os.chdir(sys.argv[1])
while True:
    for name in ("real", "link"):
        try:
            os.rename(name, "a"); os.rename("a", name)
        except OSError:
            pass
"""
    racer = subprocess.Popen([sys.executable, "-c", program, str(upper / "race")])
    try:
        assert isinstance(spec.root, OverlayRoot)
        for number in range(12):
            base = tmp_path / f"work{number}"
            base.mkdir()
            own(base)
            root = spec.root._replace(work=os.fsencode(base))
            try:
                runner.run(spec._replace(root=root))
            except SandboxError as error:
                assert "mount target" in error.message or "/race" in error.message
    finally:
        racer.send_signal(signal.SIGKILL)
        racer.wait()
    assert os.listdir(outside) == []


# the host


def test_refused_sources(make_spec: MakeSpec, host: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/proc/self")
    for path in (
        b"/",
        b"/proc",
        b"/proc/self/fd",
        b"/sys/kernel",
        b"/dev",
        b"/dev/null",
        os.fsencode(link),
        b"/../proc",
    ):
        with pytest.raises(SandboxError, match="refused"):
            runner.run(make_spec("true", mounts=(Mount("bind", b"/x", path),)))
    for path, said in ((b"rel", "not an absolute"), (os.fsencode(tmp_path / "no"), "No such file")):
        with pytest.raises(SandboxError, match=said):
            runner.run(make_spec("true", mounts=(Mount("bind", b"/x", path),)))
    for source in (host, host / "in"):
        with pytest.raises(SandboxError, match="refused: it lies in"):
            runner.run(make_spec("true", mounts=(bind(source),), forbidden_sources=(os.fsencode(host),)))
    assert runner.run(make_spec("true", mounts=(bind(host),))) == 0


@pytest.mark.root_only
def test_a_folder_that_shows_the_hosts_proc_is_refused(make_spec: MakeSpec, host: Path) -> None:
    (host / "proc").mkdir()
    subprocess.run(["mount", "--bind", "/proc", host / "proc"], check=True)
    try:
        with pytest.raises(SandboxError, match="contains proc mounted on"):
            runner.run(make_spec("true", mounts=(bind(host),)))
        with pytest.raises(SandboxError, match="refused: it lies in /proc"):
            runner.run(make_spec("true", mounts=(bind(host / "proc"),)))
    finally:
        subprocess.run(["umount", host / "proc"], check=True)
    for kind in ("proc", "devpts"):  # of namespaces of its own: what is in no folder of the kernel here
        own = ("unshare", "--pid", "--fork")
        subprocess.run([*own, "mount", "-t", kind, kind, host / "proc"], check=True)
        try:
            for source, where in ((host / "proc", "lies in"), (host, "contains")):
                with pytest.raises(SandboxError, match=f"refused: it {where} {kind} mounted on"):
                    runner.run(make_spec("true", mounts=(bind(source),)))
        finally:
            subprocess.run(["umount", host / "proc"], check=True)
    assert runner.run(make_spec("true", mounts=(bind(host),))) == 0


def test_the_store_is_covered_below_a_volume(
    make_spec: MakeSpec, host: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (host / "deep/.envgit").mkdir(parents=True)
    (host / "deep/.envgit/HEAD").write_text("secret\n")
    script = "cat /x/deep/.envgit/HEAD; touch /x/deep/.envgit/new; rm -r /x/deep; umount /x/deep/.envgit; ls -A /x/deep/.envgit"
    covered = make_spec(
        "sh", "-c", script + "; true", mounts=(bind(host),), forbidden_sources=(os.fsencode(host / "deep/.envgit"),)
    )
    assert output(capfd, covered) == ""
    assert os.listdir(host / "deep/.envgit") == ["HEAD"]
    spec = make_spec("sh", "-c", script + "; true", mounts=(bind(host),))
    assert output(capfd, spec) == "secret\n" and not (host / "deep").exists()  # the control: nothing is forbidden


def test_sockets_of_container_engines(make_spec: MakeSpec, host: Path, capfd: pytest.CaptureFixture[str]) -> None:
    warnings: list[str] = []
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(host)
        listening.bind("docker.sock")
        os.chdir(here)
        path = host / "docker.sock"
        (host / "hidden").symlink_to(path)
        for name in (path, host / "hidden"):
            with pytest.raises(SandboxError, match="take over the host") as caught:
                runner.run(make_spec("true", mounts=(bind(name),)))
            assert caught.value.hint is not None and "insist" in caught.value.hint
        assert runner.run(make_spec("true", mounts=(bind(path, insist=True),))) == 0
        assert runner.run(make_spec("true", mounts=(bind(host),)), on_warning=warnings.append) == 0
    assert len(warnings) == 1 and "docker.sock" in warnings[0]


def test_a_source_that_is_replaced_after_the_check_is_not_mounted(
    make_spec: MakeSpec, host: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Between the look at it and the mount, somebody puts something else there."""
    (host / "data").mkdir()
    (host / "data/good").touch()
    (host / "evil").mkdir()
    (host / "evil/bad").touch()

    def swap(name: str, then: Callable[[dict[int, sources._Checked]], dict[int, int]]) -> None:
        def swapped(checked: dict[int, sources._Checked]) -> dict[int, int]:
            for number, item in checked.items():
                assert number == 0 and item.path == os.fsencode(host / "data")
            os.rename(host / "data", host / "old")
            os.rename(host / "evil", host / "data")
            return then(checked)

        monkeypatch.setattr(sources, name, swapped)

    def without_the_comparison(item: sources._Checked) -> int:
        return clone(os.open(item.path, os.O_PATH | os.O_CLOEXEC))

    by_root = make_spec("true").idmap.kind == "range"
    name, clone = "_copy_here" if by_root else "_copy_elsewhere", sources._clone
    real = sources._copy_here if by_root else sources._copy_elsewhere
    swap(name, real)
    spec = make_spec("ls", "/x", mounts=(bind(host / "data"),))
    if by_root:
        assert output(capfd, spec) == "good\n"
    else:
        with pytest.raises(SandboxError, match="was replaced while the sandbox was starting"):
            runner.run(spec)
    os.rename(host / "data", host / "evil")
    os.rename(host / "old", host / "data")
    monkeypatch.setattr(sources, "_clone_again", without_the_comparison)
    swap(
        name,
        lambda checked: (
            {at: without_the_comparison(item) for at, item in checked.items()} if by_root else real(checked)
        ),
    )
    assert output(capfd, make_spec("ls", "/x", mounts=(bind(host / "data"),))) == "bad\n"  # the control: by name

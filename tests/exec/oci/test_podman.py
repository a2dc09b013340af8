"""podman drives envgit-oci: the life of a container as people have it. As root with --uidmap, as an ordinary user as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Podman:
    folder: Path

    def __call__(self, *words: str, status: int = 0) -> str:
        globals_ = ("--root", "root", "--runroot", "run", "--tmpdir", "tmp")
        paths = [word if word.startswith("--") else str(self.folder / word) for word in globals_]
        fixed = ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]
        done = subprocess.run(
            ["podman", *paths, *fixed, "--runtime", str(self.folder / "envgit-oci"), *words],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder / "xdg")},
            cwd=self.folder,
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + (done.stderr if status else "")

    def run(self, *words: str, status: int = 0) -> str:
        """Run a container; podman's own defaults of root ask for more files than root may have on some machines."""
        limits = ("--ulimit", "nofile=512:1024", "--ulimit", "nproc=2048:2048")
        ids = () if os.geteuid() else ("--uidmap", "0:200000:65536")
        return self("run", "--network", "none", *limits, *ids, *words, status=status)

    def remove(self, name: str) -> None:
        """Remove a container; podman 4.3 sometimes still has its own clean-up under way, under every runtime."""
        for _ in range(20):
            try:
                self("rm", "-f", "-t", "0", name)
                return
            except AssertionError:
                time.sleep(0.2)
        self("rm", "-f", "-t", "0", name)

    def left(self) -> list[str]:
        folder = self.folder / "state"
        return sorted(os.listdir(folder)) if folder.exists() else []


@pytest.fixture(scope="module")
def podman(lower: Path) -> Iterator[Podman]:
    """A podman with storage of its own; sockets have short paths, so does its folder."""
    assert shutil.which("podman"), "podman is missing: see tests/packages.sh"
    folder = Path(tempfile.mkdtemp(prefix="pm-", dir="/tmp"))
    (folder / "xdg").mkdir(mode=0o700)
    program = folder / "envgit-oci"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={CHECKOUT} exec {sys.executable} -P -m envgit.cli.oci --root {folder}/state "$@"\n'
    )
    program.chmod(0o755)
    made = Podman(folder)
    archive = folder / "image.tar"
    subprocess.run(["tar", "-C", lower, "--owner=0", "--group=0", "-cf", archive, "."], check=True)
    made("import", str(archive), "small:1")
    yield made
    for id in made("ps", "-aq").split():
        made.remove(id)
    prefix = ["podman", "unshare"] if os.geteuid() else []
    subprocess.run(
        [*prefix, "rm", "-rf", str(folder)], capture_output=True, timeout=TIMEOUT_SECONDS, env={**os.environ}
    )
    shutil.rmtree(folder, ignore_errors=True)


def test_run_gives_output_and_status(podman: Podman) -> None:
    assert podman.run("--rm", "small:1", "id", "-u") == "0\n"
    podman.run("--rm", "small:1", "sh", "-c", "exit 7", status=7)
    podman.run("--rm", "small:1", "nonesuch", status=127)
    podman.run("--rm", "small:1", "/etc/passwd", status=126)
    assert podman.left() == []


def test_the_posture_is_ours(podman: Podman) -> None:
    script = """
        grep -E '^(CapInh|CapAmb|NoNewPrivs|Seccomp:)' /proc/self/status
        cat /proc/self/uid_map; cat /proc/keys; ls /sys/firmware
    """
    options = ("--security-opt", "no-new-privileges", "--security-opt", "unmask=ALL")
    out = podman.run("--rm", *options, "small:1", "sh", "-c", script)
    lines = [line.split() for line in out.splitlines()]
    assert lines[:4] == [["CapInh:", "0" * 16], ["CapAmb:", "0" * 16], ["NoNewPrivs:", "1"], ["Seccomp:", "2"]]
    assert lines[4][0] == "0" and all(line[0].isdigit() for line in lines[4:]), "keys are masked whatever was asked"


def test_detached_exec_logs_stop_rm(podman: Podman) -> None:
    script = "trap 'exit 5' TERM; echo $A; while true; do sleep 0.1; done"
    podman.run("-d", "--name", "one", "-e", "A=b", "small:1", "sh", "-c", script)
    assert podman("exec", "one", "sh", "-c", "echo in; hostname >/dev/null; id -u") == "in\n0\n"
    script = "test $(id -u) = 1000 && test $PWD = /tmp && exit 3"
    podman("exec", "-u", "1000", "-w", "/tmp", "one", "sh", "-c", script, status=3)
    podman("exec", "one", "nonesuch", status=127)
    deadline = time.monotonic() + 10
    while podman("logs", "one") != "b\n":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "Up" in podman("ps", "--format", "{{.State}}")
    podman("stop", "-t", "10", "one")
    assert podman("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "one") == "exited 5\n"
    podman.remove("one")
    assert podman.left() == []


def test_restart_kill_and_force(podman: Podman) -> None:
    podman.run("-d", "--name", "two", "small:1", "sleep", "1000")
    first = podman("inspect", "-f", "{{.State.Pid}}", "two")
    podman("restart", "-t", "0", "two")
    assert podman("inspect", "-f", "{{.State.Pid}}", "two") != first
    podman("kill", "two")
    podman("wait", "two")
    assert podman("inspect", "-f", "{{.State.ExitCode}}", "two") == "137\n"
    podman.remove("two")
    podman("create", "--name", "three", "--network", "none", "small:1", "true")
    podman.remove("three")
    assert podman.left() == []


def test_a_terminal_and_volumes(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("hello\n")
    tmp_path.chmod(0o755)
    volume = f"{tmp_path}:/data:ro"
    out = podman.run("-t", "--rm", "-v", volume, "--tmpfs", "/scratch:size=1m", "small:1", "sh", "-c",
                     "tty; cat /data/in; touch /data/x || echo no; touch /scratch/x && echo yes")  # fmt: skip
    assert out.split()[0].startswith("/dev/pts/") and "hello" in out and "no" in out.split() and "yes" in out.split()


def test_another_container_can_share_the_network(podman: Podman) -> None:
    podman.run("-d", "--name", "four", "small:1", "sleep", "1000")
    own = podman("exec", "four", "readlink", "/proc/self/ns/net")
    ids = (
        ()
        if os.geteuid()
        else ("--uidmap", "0:200000:65536", "--ulimit", "nofile=512:1024", "--ulimit", "nproc=2048:2048")
    )
    out = podman("run", "--rm", "--network", "container:four", *ids, "small:1", "readlink", "/proc/self/ns/net")
    assert out == own
    podman.remove("four")


@pytest.mark.root_only
def test_limits_are_enforced_and_gone_afterwards(podman: Podman) -> None:
    podman.run("-d", "--name", "five", "--pids-limit", "33", "-m", "64m", "small:1", "sleep", "1000")
    pid = podman("inspect", "-f", "{{.State.Pid}}", "five").strip()
    groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    found = [
        (Path("/sys/fs/cgroup", *names, path.lstrip("/"), "pids.max").read_text().strip(), path)
        for _, controllers, path in groups
        for names in ([controllers], [])
        if controllers in ("pids", "") and Path("/sys/fs/cgroup", *names, path.lstrip("/"), "pids.max").exists()
    ]
    assert "33" in [limit for limit, _ in found]
    podman.remove("five")
    assert not list(Path("/sys/fs/cgroup").glob("**/oci-*"))


@pytest.mark.root_only
def test_root_of_the_machine_is_refused_with_what_to_type(podman: Podman) -> None:
    out = podman("run", "--rm", "--network", "none", "small:1", "true", status=126)
    assert "--userns=auto" in out

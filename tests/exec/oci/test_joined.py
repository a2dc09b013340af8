"""Namespaces that somebody else made: joined by path, as podman has it for --network container:NAME and pods."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .runtime import Oci

pytestmark = pytest.mark.root_only

HOLDER = """
import os, sys
from envgit.exec import linux
linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS)
linux.sethostname(b"theirs")
os.system("ip link set lo up")
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder() -> Iterator[int]:
    """A process with a network, ipc and uts namespace of its own."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    root = str(Path(__file__).resolve().parents[3])
    with subprocess.Popen([sys.executable, "-c", HOLDER], env={**os.environ, "PYTHONPATH": root}, **pipes) as process:
        assert process.stdout and process.stdin
        process.stdout.readline()
        yield process.pid
        process.stdin.close()


def _join(pid: int, **more: Any) -> Any:
    files = {"network": "net", "ipc": "ipc", "uts": "uts"}

    def change(config: dict[str, Any]) -> None:
        for each in config["linux"]["namespaces"]:
            if each["type"] in files:
                each["path"] = f"/proc/{pid}/ns/{files[each['type']]}"
        del config["hostname"]
        config["linux"].update(more)

    return change


def test_joined_namespaces_are_those(oci: Oci, holder: int) -> None:
    script = (
        "ls /sys/class/net; hostname; readlink /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/uts /proc/self/ns/user"
    )
    oci.configure("sh", "-c", script, change=_join(holder))
    lines = oci("run", "one").out.split()
    assert lines[:3] == ["lo", "theirs", os.readlink(f"/proc/{holder}/ns/net")]
    assert lines[2:5] == [os.readlink(f"/proc/{holder}/ns/{kind}") for kind in ("net", "ipc", "uts")]
    assert lines[5] != os.readlink("/proc/self/ns/user")


def test_without_a_path_they_are_its_own(oci: Oci, holder: int) -> None:
    oci.configure("sh", "-c", "ls /sys/class/net; hostname; readlink /proc/self/ns/net")
    lines = oci("run", "one").out.split()
    assert lines[:2] == ["lo", "envgit"] and lines[2] != os.readlink(f"/proc/{holder}/ns/net")


def test_settings_of_a_joined_network_are_written_there(oci: Oci, holder: int) -> None:
    sysctl = {"net.ipv4.ping_group_range": "3 5"}
    oci.configure("true", change=_join(holder, sysctl=sysctl))
    before = Path("/proc/sys/net/ipv4/ping_group_range").read_text()
    oci("run", "one")
    seen = subprocess.run(
        ["nsenter", "-t", str(holder), "-n", "cat", "/proc/sys/net/ipv4/ping_group_range"],
        capture_output=True,
        text=True,
    ).stdout
    assert seen.split() == ["3", "5"]
    assert Path("/proc/sys/net/ipv4/ping_group_range").read_text() == before


def test_create_exec_and_delete_work_as_ever(oci: Oci, holder: int) -> None:
    oci.configure("sleep", "1000", change=_join(holder))
    oci.quietly("create", "one")
    oci("start", "one")
    oci.wait_for("one", "running")
    assert oci("exec", "one", "hostname").out == "theirs\n"


@pytest.mark.parametrize("path", ["/nonesuch", "/etc/passwd", "/proc/self/ns/user"])
def test_what_is_no_such_namespace_is_refused(oci: Oci, path: str) -> None:
    def change(config: dict[str, Any]) -> None:
        next(each for each in config["linux"]["namespaces"] if each["type"] == "network")["path"] = path

    oci.configure("true", change=change)
    assert f"cannot join the network namespace {path}" in oci("run", "one", status=1).err

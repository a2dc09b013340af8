"""What lives beside a long-lived sandbox: published ports, limits, and what ps, port, stats and inspect say of them."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from .conftest import Sandboxes, children_of, has_ended, is_running, wait_until


def start(sandboxes: Sandboxes, *options: str, command: tuple[str, ...] = ("sleep", "1000"), name: str = "one") -> str:
    return sandboxes.lab("run", "-d", "--name", name, *options, "main", "--", *command).out.strip()


def test_ports_are_listed_while_it_runs(sandboxes: Sandboxes) -> None:
    start(sandboxes, "-p", "80", "-p", "127.0.0.1::53/udp")
    bounds = sandboxes.lab("port", "--json", "one").json()["ports"]
    assert [(bound["port"], bound["protocol"]) for bound in bounds] == [(80, "tcp"), (53, "udp")]
    (tcp, _) = (bound["host_port"] for bound in bounds)
    assert sandboxes.lab("port", "one", "80").out == f"127.0.0.1:{tcp}\n"
    assert f"80/tcp -> 127.0.0.1:{tcp}" in sandboxes.lab("port", "one").lines()
    sandboxes.lab.fails("port", "one", "81", status=1, says="does not publish 81/tcp", hint="envgit port one")
    sandboxes.lab.fails("port", "one", "x", status=2, says="is no port", hint="53/udp")
    assert f"127.0.0.1:{tcp}->80/tcp" in sandboxes.lab("ps").lines()[1]
    assert sandboxes.inspect()["ports"] == bounds
    sandboxes.lab("stop", "one")
    assert sandboxes.lab("port", "one").out == "" and sandboxes.inspect()["ports"] == []


def test_an_occupied_port_is_an_error_of_the_start(sandboxes: Sandboxes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        words = ("run", "-d", "--name", "one", "-p", f"{port}:80", "main", "--", "sleep", "1000")
        sandboxes.lab.fails(*words, status=125, says=f"127.0.0.1:{port}/tcp is occupied", hint="choose another")
        assert sandboxes.folders() == []
    sandboxes.lab(*words)
    sandboxes.lab("stop", "one")
    with socket.create_server(("127.0.0.1", port), reuse_port=False):
        sandboxes.lab("start", "one", status=1)
    assert sandboxes.state()["status"] == "exited"
    sandboxes.lab("start", "one")


def test_helpers_that_are_killed_come_back_and_go_with_the_monitor(sandboxes: Sandboxes) -> None:
    """Guard and forwarder, whichever is which."""
    start(sandboxes, "-p", "80")
    state = sandboxes.state()
    port = sandboxes.lab("port", "--json", "one").json()["ports"][0]["host_port"]

    def helpers() -> list[int]:
        return [pid for pid in children_of(state["monitor_pid"]) if pid != state["pid"] and is_running(pid)]

    before = wait_until(lambda: len(helpers()) == 2 and helpers())
    for pid in before:
        os.kill(pid, signal.SIGKILL)
        wait_until(partial(has_ended, pid))
        wait_until(lambda: len(helpers()) == 2)
    after = helpers()
    assert not set(before) & set(after)
    with suppress(ConnectionResetError):  # nobody listens inside; without forwarder it would be refused
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    os.kill(state["monitor_pid"], signal.SIGKILL)
    wait_until(lambda: not [pid for pid in (state["pid"], *after) if is_running(pid)])
    sandboxes.lab("start", "one")


def test_out_of_memory_is_said(sandboxes: Sandboxes) -> None:
    start(sandboxes, "--memory", "32m", command=("sh", "-c", "sleep 0.5; x=a; while :; do x=$x$x; done"))
    state = sandboxes.wait_for("exited")
    if state["out_of_memory"]:
        assert state["exit_code"] == 137
        assert "out of memory" in sandboxes.lab("ps", "-a").lines()[1]
    else:  # limits of each process: the allocation fails instead
        assert os.geteuid() and state["exit_code"] != 0


def test_exec_is_in_the_group_of_the_sandbox(sandboxes: Sandboxes) -> None:
    start(sandboxes, "--memory", "64m")
    sandboxes.lab("exec", "-d", "one", "sleep", "500")
    processes = sandboxes.lab("top", "--json", "one").json()["processes"]
    groups = [Path(f"/proc/{process['host_pid']}/cgroup").read_text() for process in processes]
    assert len(groups) == 2 and groups[0] == groups[1]
    stats = sandboxes.lab("stats", "--json", "one").json()["stats"][0]
    assert stats["pids"] == 2
    if stats["source"] == "cgroup":
        assert stats["memory_limit_bytes"] == 64 << 20
        assert groups[0] != Path("/proc/self/cgroup").read_text()


def test_a_program_that_is_busy_is_seen(sandboxes: Sandboxes) -> None:
    start(sandboxes, "--memory", "64m", command=("sh", "-c", "while :; do :; done"))
    time.sleep(0.2)
    assert sandboxes.lab("stats", "--json").json()["stats"][0]["cpu_percent"] > 1


def test_anonymous_volumes_go_with_the_sandbox_when_asked(sandboxes: Sandboxes) -> None:
    folder = sandboxes.lab.git_dir / "volumes"

    def volumes() -> list[str]:
        return sorted(name for name in os.listdir(folder) if len(name) == 64) if folder.exists() else []

    def are_left(count: int) -> bool:
        return len(volumes()) == count

    for number, (options, last, left) in enumerate(
        (((), ("rm", "-f"), 1), ((), ("rm", "-f", "-v"), 1), (("--rm",), ("stop",), 1))
    ):
        start(sandboxes, *options, "--network", "none", "-v", "/data", name=f"s{number}")
        assert len(volumes()) == left + bool(number)
        sandboxes.lab(*last, f"s{number}")
        wait_until(partial(are_left, left))


def test_neither_fsck_nor_log_is_disturbed(sandboxes: Sandboxes) -> None:
    before = sandboxes.lab("log", "--all").out
    sandboxes.run("sleep", "1000")
    assert sandboxes.lab("log", "--all").out == before
    sandboxes.lab("fsck")

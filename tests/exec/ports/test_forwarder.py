"""The forwarder as a process: what it may do, when it ends, what survives it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.ports.binding import bind, close
from envgit.exec.ports.forwarder import start_forwarder
from envgit.exec.ports.publish import parse_publish
from envgit.exec.process import start_time

from .box import ADDRESS, SECONDS, Box, wait_for
from .conftest import Forward
from .programs import connect, each_client, echo, receive_all, say_peer

pytestmark = pytest.mark.any_ids
ROOT = Path(__file__).resolve().parents[3]

MONITOR = f"""
import os, sys, time
from envgit.exec.ports.binding import bind
from envgit.exec.ports.forwarder import start_forwarder
from envgit.exec.ports.publish import parse_publish
bounds = bind(parse_publish("8080"))
forwarder = start_forwarder(int(sys.argv[1]), int(sys.argv[2]), bounds, {ADDRESS!r})
print(forwarder.pid, bounds[0].host_port, flush=True)
time.sleep(1000)
"""


def status_of(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def open_files(pid: int) -> list[str]:
    """Return what kinds of descriptors a process has; empty while one is being closed."""
    folder = f"/proc/{pid}/fd"
    try:
        return sorted(os.readlink(f"{folder}/{fd}").partition(":")[0] for fd in os.listdir(folder))
    except FileNotFoundError:
        return []


def is_gone(pid: int) -> bool:
    return start_time(pid) == 0


def test_posture(box: Box, forward: Forward) -> None:
    leak = os.open("/", os.O_RDONLY)
    os.set_inheritable(leak, True)
    forwarder, _ = forward("8080", "8080/udp")
    os.close(leak)
    status = status_of(forwarder.pid)
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Threads"] == "1"
    inside_root = str(box.idmap.uids[0].outside)
    assert status["Uid"].split() == [inside_root] * 4
    assert os.getsid(forwarder.pid) == forwarder.pid
    for kind in ("user", "net"):
        if os.geteuid() == 0:
            inside, outside = (os.readlink(f"/proc/{pid}/ns/{kind}") for pid in (forwarder.pid, os.getpid()))
            assert inside == os.readlink(f"/proc/{box.pid}/ns/{kind}") != outside
    if os.geteuid() == 0:
        expected = ["/dev/null"] * 3 + ["anon_inode", "pipe", "socket", "socket"]
        assert wait_for(lambda: open_files(forwarder.pid) == expected), open_files(forwarder.pid)
    else:  # not dumpable: its folder is root's
        with pytest.raises(PermissionError):
            os.listdir(f"/proc/{forwarder.pid}/fd")
        with pytest.raises(PermissionError):
            os.readlink(f"/proc/{forwarder.pid}/ns/net")


def test_nothing_of_python_is_loaded_inside(box: Box, forward: Forward, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not be: the files may be unreadable for the sandbox's ids. An import would end the process."""
    import builtins

    def refuse(*arguments: object, **options: object) -> object:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    box.serve(echo(8080))
    monkeypatch.setattr(builtins, "__import__", refuse)
    try:
        forwarder, (bound, closed) = forward("8080-8081")
    finally:
        monkeypatch.undo()
    for each in (bound, closed):
        try:
            with connect(each) as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
        except (ConnectionResetError, BrokenPipeError):
            assert each == closed
    assert not is_gone(forwarder.pid)


def test_killed_and_restarted(box: Box, forward: Forward) -> None:
    program = box.serve(echo(8080))
    forwarder, (bound,) = forward("8080")
    with connect(bound) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        os.kill(forwarder.pid, signal.SIGKILL)
        assert client.recv(1) == b""
    assert select.select([forwarder], [], [], SECONDS)[0]
    with connect(bound) as waiting:  # the monitor's socket keeps it
        waiting.sendall(b"patience")
        first = forwarder.pid
        forwarder.restart()
        assert forwarder.pid != first
        assert waiting.recv(100) == b"patience"
    assert not select.select([forwarder], [], [], 0)[0]
    assert not is_gone(program) and not is_gone(box.pid)


def test_stop(box: Box, forward: Forward) -> None:
    before = os.listdir("/proc/self/fd")
    forwarder, (bound,) = forward("8080")
    pid = forwarder.pid
    forwarder.stop()
    forwarder.stop()
    assert is_gone(pid)
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1  # the listening socket
    forwarder.restart()
    assert not is_gone(forwarder.pid)


def test_sigterm_ends_it(box: Box, forward: Forward) -> None:
    forwarder, _ = forward("8080")
    os.kill(forwarder.pid, signal.SIGTERM)
    assert select.select([forwarder], [], [], SECONDS)[0]


@pytest.mark.parametrize("protection", ["both", "PDEATHSIG", "pipe"])
def test_the_monitor_is_killed(box: Box, protection: str) -> None:
    """Either of the two protections alone is enough; the control is the next test."""
    program = MONITOR
    if protection == "PDEATHSIG":
        program = _pipe_kept_open(program)
    if protection == "pipe":
        program = _without_death_signal(program)
    _assert_dies(box, program, dies=True)


def test_control_the_monitor_is_killed_without_protection(box: Box) -> None:
    _assert_dies(box, _without_death_signal(_pipe_kept_open(MONITOR)), dies=False)


def test_a_sandbox_that_is_gone(box: Box) -> None:
    bounds = bind(parse_publish("8080"))
    with pytest.raises(SandboxError, match="is gone"):
        start_forwarder(box.pid, box.start_time + 1, bounds, ADDRESS)
    box.close()
    with pytest.raises(SandboxError, match="is gone"):
        start_forwarder(box.pid, box.start_time, bounds, ADDRESS)
    close(bounds)


def test_a_process_of_somebody_else(box: Box) -> None:
    """PID 1 has this machine's own network, or is another user's: nobody is sent there."""
    bounds = bind(parse_publish("8080"))
    with pytest.raises(SandboxError, match="cannot start the port forwarder"):
        start_forwarder(1, start_time(1), bounds, ADDRESS)
    close(bounds)


def test_a_network_without_an_interface() -> None:
    box = Box(interface=False)
    box.serve(each_client(8080, say_peer))
    bounds = bind(parse_publish("8080"))
    forwarder = start_forwarder(box.pid, box.start_time, bounds)
    with connect(bounds[0]) as client:
        assert receive_all(client) == b"127.0.0.1"
    forwarder.stop()
    close(bounds)
    box.close()


def test_the_network_goes_with_the_forwarder(box: Box, forward: Forward) -> None:
    """When all programs are gone clients are reset, and stop() leaves nothing."""
    forwarder, (bound,) = forward("8080")
    box.close()
    with pytest.raises(ConnectionResetError), connect(bound) as client:
        client.recv(1)
    forwarder.stop()
    with socket.socket() as probe:
        probe.settimeout(0.2)
        probe.connect((bound.address, bound.host_port))  # queued: the monitor has the socket yet


def _pipe_kept_open(program: str) -> str:
    """Let a second process have the pipe of the monitor, so that its end is not the monitor's end."""
    return program.replace("time.sleep", "os.fork()\ntime.sleep")


def _without_death_signal(program: str) -> str:
    number = linux.PR_SET_PDEATHSIG
    return (
        "from envgit.exec import linux\nreal = linux.prctl\n"
        f"linux.prctl = lambda option, *rest: 0 if option == {number} else real(option, *rest)\n" + program
    )


def _assert_dies(box: Box, program: str, *, dies: bool) -> None:
    monitor = subprocess.Popen(
        [sys.executable, "-c", program, str(box.pid), str(box.start_time)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert monitor.stdout
    pid, port = map(int, monitor.stdout.readline().split())
    children = Path(f"/proc/{monitor.pid}/task/{monitor.pid}/children")
    assert wait_for(lambda: len(children.read_text().split()) == program.count("os.fork()") + 1)
    others = [int(text) for text in children.read_text().split() if int(text) != pid]
    began = start_time(pid)
    try:
        monitor.kill()
        monitor.wait(SECONDS)
        assert wait_for(lambda: start_time(pid) != began, SECONDS if dies else 0.5) == dies
        assert not is_gone(box.pid)
    finally:
        monitor.stdout.close()
        for each in (*others, *([] if dies else [pid])):
            os.kill(each, signal.SIGKILL)

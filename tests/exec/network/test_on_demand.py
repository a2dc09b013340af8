"""The helper of a private network: nothing paid before it is used, nothing left afterwards, replaced when it is gone."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from envgit.exec.network.carrier import Helper, Wanted
from envgit.exec.network.liveness import is_running
from envgit.exec.network.subnet import Subnet
from envgit.exec.reactor import Reactor
from tests.exec.network.machine import (
    OUTSIDE,
    OUTSIDE_6,
    on_machine,
)
from tests.exec.network.probing import (
    BOTH,
    SUBNET,
    ask,
    children,
    helper,
)
from tests.exec.network.sandboxed import Sandboxed

# what it costs, and what is left


@BOTH
@on_machine()
def test_a_program_that_does_not_use_the_network_starts_nothing(kind: Wanted) -> None:
    def program(sandbox: Sandboxed) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            client.sendto(b"discover", ("255.255.255.255", 67))
            client.sendto(b"discover", ("224.0.0.251", 5353))
            client.sendto(b"to itself", ("127.0.0.1", 9))
            client.sendto(b"to itself", (SUBNET.address, 9))
        sandbox.wait_for_go()
        return ask(OUTSIDE)

    before = children()
    sandbox = Sandboxed(program, helpers=helper(kind), subnet=Subnet(ipv6=kind == "pasta"))
    assert sandbox.network is not None
    sandbox.go()
    moment = time.monotonic() + 1.5  # router solicitations and the like come within a second of link-up
    sandbox.until(lambda: time.monotonic() > moment)
    assert sandbox.network.helper_pid is None
    assert children() - before == {sandbox.pid}
    sandbox.go()
    sandbox.until(lambda: sandbox.done)  # and the same sandbox has a network the moment it wants one
    assert sandbox.result == b"outside:hello"
    assert sandbox.network.helper_pid in children()
    sandbox.close()
    assert children() == before


@BOTH
@on_machine()
def test_nothing_is_left_afterwards(kind: Wanted) -> None:
    before, descriptors = children(), os.listdir("/proc/self/fd")
    sandbox = Sandboxed(lambda _: ask(OUTSIDE), helpers=helper(kind))
    sandbox.go()
    sandbox.until(lambda: sandbox.done)
    assert sandbox.network is not None
    pid = sandbox.network.helper_pid
    assert pid is not None
    assert is_running(pid)
    sandbox.close()
    assert not is_running(pid)
    assert children() == before
    sandbox.forget()
    assert os.listdir("/proc/self/fd") == descriptors


@BOTH
@on_machine()
def test_a_killed_helper_is_replaced_when_it_is_needed(kind: Wanted) -> None:
    def program(sandbox: Sandboxed) -> bytes:
        answers = [ask(OUTSIDE)]
        for _ in range(2):
            sandbox.wait_for_go()
            answers.append(ask(OUTSIDE, wait=8))
        return b" ".join(answers)

    sandbox = Sandboxed(program, helpers=helper(kind))
    network = sandbox.network
    assert network is not None
    sandbox.go()
    seen: set[int] = set()
    for _ in range(2):
        sandbox.until(lambda: network.helper_pid not in (None, *seen))
        time.sleep(0.05)
        sandbox.until(lambda: network.is_open)
        pid = network.helper_pid
        assert pid is not None
        seen.add(pid)
        warnings = len(sandbox.warnings)
        os.kill(pid, signal.SIGKILL)
        sandbox.until(lambda: len(sandbox.warnings) > warnings)  # noqa: B023
        assert network.helper_pid is None
        sandbox.go()
    sandbox.until(lambda: sandbox.done)
    sandbox.close()
    assert b"timeout" not in sandbox.result.split()[1:]
    assert sandbox.result.split()[1:] == [b"outside:hello"] * 2
    assert (
        sandbox.warnings
        == [f"the network helper {kind} ended (killed by signal 9); it is started again when it is needed"] * 2
    )


@BOTH
@on_machine()
def test_a_killed_monitor_takes_the_helper_with_it(kind: Wanted) -> None:
    told_read, told_write = os.pipe()
    monitor = os.fork()
    if monitor == 0:
        sandbox = Sandboxed(lambda inside: ask(OUTSIDE) + (inside.wait_for_go()), helpers=helper(kind))
        network = sandbox.network
        assert network is not None
        sandbox.go()
        sandbox.until(lambda: network.is_open)
        os.write(told_write, b"%d %d" % (sandbox.pid, network.helper_pid or 0))
        sandbox.until(lambda: False)
    os.close(told_write)
    pids = [int(word) for word in os.read(told_read, 100).split()]
    assert len(pids) == 2
    assert all(is_running(pid) for pid in pids)
    os.kill(monitor, signal.SIGKILL)
    os.waitpid(monitor, 0)
    end = time.monotonic() + 5
    while any(is_running(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.01)
    assert not [pid for pid in pids if is_running(pid)]


@BOTH
@on_machine()
def test_twenty_at_once(kind: Wanted) -> None:
    before = children()
    options: dict[str, Any] = {"helpers": helper(kind), "reactor": Reactor()}
    sandboxes = [Sandboxed(lambda _: ask(OUTSIDE, wait=20), **options) for _ in range(20)]
    for sandbox in sandboxes:
        sandbox.go()
    sandboxes[0].until(lambda: all(sandbox.done for sandbox in sandboxes))
    assert [sandbox.result for sandbox in sandboxes] == [b"outside:hello"] * 20
    assert [sandbox.warnings for sandbox in sandboxes] == [[]] * 20
    for sandbox in sandboxes:
        sandbox.close()
    assert children() == before


# helpers that do not work


def fake(folder: Path, text: str) -> Helper:
    path = folder / "helper"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Helper("pasta", os.fsencode(path))


@on_machine()
def test_the_next_helper_is_used_when_the_first_one_fails(tmp_path: Path) -> None:
    broken = fake(tmp_path, "echo no such thing >&2; exit 3")
    helpers = (broken, *helper("slirp4netns"))
    sandbox = Sandboxed(lambda _: ask(OUTSIDE) + b" " + ask(OUTSIDE_6), helpers=helpers, subnet=Subnet(ipv6=True))
    assert sandbox.finish() == b"outside:hello ENETUNREACH"  # the second one carries no IPv6, and programs are told
    assert sandbox.warnings == ["the network helper pasta does not work here: no such thing"]


@on_machine()
def test_without_a_working_helper_programs_are_told_at_once(tmp_path: Path) -> None:
    def program(_: Sandboxed) -> bytes:
        ask(OUTSIDE, wait=1)
        started = time.monotonic()
        return ask(OUTSIDE) + b" %d" % (time.monotonic() - started)

    sandbox = Sandboxed(program, helpers=(fake(tmp_path, "printf 'bad\\033[31m \\n' >&2; exit 3"),))
    assert sandbox.finish() == b"ENETUNREACH 0"
    assert sandbox.warnings == ["the network helper pasta does not work here: bad[31m"]


@on_machine()
def test_a_helper_gets_no_environment_and_no_descriptors(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    seen.touch(0o666)
    tmp_path.chmod(0o777)
    text = f"/usr/bin/tr '\\0' '\\n' < /proc/$$/environ > {seen}; ls -l /proc/$$/fd >> {seen}; exit 3"
    os.environ["SECRET"] = "x"
    secret = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(secret, True)
    Sandboxed(lambda _: ask(OUTSIDE, wait=1), helpers=(fake(tmp_path, text),)).finish()
    said = seen.read_text()
    assert "SECRET" not in said
    assert "passwd" not in said
    assert "/dev/null" in said

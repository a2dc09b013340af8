"""Root's network without a helper program: links and nftables rules, on a machine of the test's own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.errors import HostUnsupported
from envgit.exec.network.carrier import choose
from envgit.exec.network.veth import addresses_of
from tests.exec.network.machine import MACHINE, OUTSIDE, OUTSIDE_6, call, on_machine, resolve
from tests.exec.network.probing import ask, reach_for_the_host
from tests.exec.network.sandboxed import Sandboxed

pytestmark = pytest.mark.root_only


def start(program: Callable[[Sandboxed], bytes]) -> Sandboxed:
    return Sandboxed(program, helpers=choose("veth", as_root=True), network="veth")


def our_links() -> list[str]:
    """The host's ends; /sys shows another network namespace than that of the test."""
    names = (line.split(":")[1].strip().partition("@")[0] for line in call("ip", "-o", "link").splitlines())
    return [name for name in names if name.startswith("envgit")]


def tables() -> list[str]:
    return [line for line in call("nft", "list", "tables").splitlines() if "envgit" in line]


@on_machine()
def test_the_way_out_and_nothing_else() -> None:
    def program(sandbox: Sandboxed) -> bytes:
        answers = [ask(ip, udp=udp) for ip in (OUTSIDE, MACHINE) for udp in (False, True)]
        answers.append(resolve("name.example.test", OUTSIDE).encode())
        return b" ".join([*answers, ask(OUTSIDE_6, wait=1), reach_for_the_host(sandbox)])

    answers = start(program).finish().split()
    assert answers[:5] == [b"outside:hello"] * 2 + [b"machine:hello"] * 2 + [b"192.0.2.77"]
    assert not [answer for answer in answers[5:] if b":" in answer], answers


@on_machine()
def test_the_hosts_end_does_not_lead_to_its_loopback_even_when_the_kernel_would_route_it() -> None:
    """route_localnet is what some hosts switch on for proxies; a raw route inside then points 127/8 at the host."""
    gateway = addresses_of(0).gateway

    def program(sandbox: Sandboxed) -> bytes:
        call("ip", "address", "del", "127.0.0.1/8", "dev", "lo")
        call("ip", "route", "add", "127.0.0.1", "via", gateway, "src", addresses_of(0).address)
        Path("/proc/sys/net/ipv4/conf/all/route_localnet").write_text("1")
        sandbox.wait_for_go()
        return ask(OUTSIDE) + b" " + ask("127.0.0.1", wait=1)

    def answers(protected: bool) -> list[bytes]:
        sandbox = start(program)
        Path("/proc/sys/net/ipv4/conf/all/route_localnet").write_text("1")
        if not protected:
            call("nft", "flush", "chain", "inet", tables()[0].split()[-1], "arriving")
        sandbox.go()
        said = sandbox.finish().split()
        wait_until_gone()  # the next one gets the same addresses
        return said

    assert answers(protected=True) == [b"outside:hello", b"timeout"]
    assert answers(protected=False) == [b"outside:hello", b"loopback:hello"]


@on_machine()
def test_sandboxes_do_not_reach_each_other() -> None:
    def server(sandbox: Sandboxed) -> bytes:
        from tests.exec.network.machine import serve

        serve(b"neighbour", "0.0.0.0")
        sandbox.wait_for_go()
        return b""

    first = start(server)
    first.go()
    address = addresses_of(0).address
    first.until(lambda: ask(address, wait=1) == b"neighbour:hello")  # the host reaches it: the service is there
    second = start(lambda _: ask(OUTSIDE) + b" " + ask(address, wait=1))
    assert second.finish().split() == [b"outside:hello", b"timeout"]
    first.close()


@on_machine()
def test_nothing_is_left_afterwards() -> None:
    sandboxes = [start(lambda _: ask(OUTSIDE)) for _ in range(5)]
    assert sorted(our_links()) == [f"envgit{slot}" for slot in range(5)]
    assert len(tables()) == 5
    assert [sandbox.finish() for sandbox in sandboxes] == [b"outside:hello"] * 5
    assert tables() == []
    wait_until_gone()


@on_machine()
def test_the_next_start_removes_what_a_killed_monitor_left() -> None:
    ready_read, ready_write = os.pipe()
    monitor = os.fork()
    if monitor == 0:
        start(lambda inside: inside.wait_for_go())
        os.write(ready_write, b"x")
        signal.pause()
    os.close(ready_write)
    assert os.read(ready_read, 1)
    left = tables()
    assert len(left) == 1
    os.kill(monitor, signal.SIGKILL)
    os.waitpid(monitor, 0)
    wait_until_gone()
    assert tables() == left
    sandbox = start(lambda _: ask(OUTSIDE))
    assert len(tables()) == 1
    assert tables() != left
    assert sandbox.finish() == b"outside:hello"


@on_machine()
def test_networks_of_the_host_are_left_alone() -> None:
    call("ip", "route", "add", "10.212.0.0/29", "via", "192.0.2.1")
    sandbox = start(lambda _: ask(OUTSIDE))
    assert sandbox.veth is not None
    assert sandbox.veth.slot == 2
    assert sandbox.finish() == b"outside:hello"


@on_machine()
def test_a_host_that_does_not_forward_is_not_changed() -> None:
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    forwarding.write_text("0")
    with pytest.raises(HostUnsupported, match="does not forward") as caught:
        start(lambda _: b"")
    assert "net.ipv4.ip_forward=1" in (caught.value.hint or "")
    assert forwarding.read_text().strip() == "0"
    assert (our_links(), tables()) == ([], [])


def wait_until_gone() -> None:
    end = time.monotonic() + 10
    while our_links() and time.monotonic() < end:
        time.sleep(0.02)
    assert our_links() == []

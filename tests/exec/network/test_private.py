"""A private network: a way out, and none to the host's loopback."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from envgit.exec.network import on_demand
from envgit.exec.network.carrier import Wanted, command
from envgit.exec.network.subnet import Subnet
from tests.exec.network.machine import (
    ANSWER,
    LOCAL_RESOLVER,
    MACHINE,
    OUTSIDE,
    OUTSIDE_6,
    SERVICE_PORT,
    STREAM_BYTES,
    on_machine,
    resolve,
)
from tests.exec.network.probing import (
    BOTH,
    FIRST_CONNECTION_SECONDS,
    SUBNET,
    ask,
    reach_for_the_host,
    run,
)
from tests.exec.network.sandboxed import Sandboxed

# the way out


@BOTH
@on_machine()
def test_tcp_and_udp_reach_the_world_and_the_machines_own_address(kind: Wanted) -> None:
    def program(_: Sandboxed) -> bytes:
        return b" ".join(ask(ip, udp=udp) for ip in (OUTSIDE, MACHINE) for udp in (False, True))

    assert run(kind, program) == b"outside:hello outside:hello machine:hello machine:hello"


@on_machine()
def test_pasta_carries_ipv6() -> None:
    def program(_: Sandboxed) -> bytes:
        return ask(OUTSIDE_6) + b" " + ask(OUTSIDE_6, udp=True)

    assert run("pasta", program, subnet=Subnet(ipv6=True)) == b"outside:hello outside:hello"


@BOTH
@pytest.mark.parametrize("prefix", ["10.0.2", "10.213.47"])
@on_machine(resolver=LOCAL_RESOLVER)
def test_a_resolver_on_the_hosts_loopback_answers(kind: Wanted, prefix: str) -> None:
    subnet = Subnet(prefix)

    def program(_: Sandboxed) -> bytes:
        return resolve("name.example.test", subnet.resolver).encode()

    assert run(kind, program, subnet=subnet) == ANSWER.encode()


@BOTH
@on_machine(resolver=OUTSIDE)
def test_a_resolver_of_the_network_answers(kind: Wanted) -> None:
    def program(_: Sandboxed) -> bytes:
        return resolve("name.example.test", SUBNET.resolver).encode()

    assert run(kind, program) == ANSWER.encode()


@BOTH
@on_machine()
def test_two_questions_at_once_are_both_answered_though_the_first_starts_the_helper(kind: Wanted) -> None:
    """The C library asks for both kinds of addresses back to back and waits 5 s when one is lost."""

    def program(_: Sandboxed) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(FIRST_CONNECTION_SECONDS)
            client.connect((OUTSIDE, SERVICE_PORT))
            for question in range(20):
                client.send(b"%d" % question)
                time.sleep(0.002)
            return b" ".join(sorted(client.recv(100) for _ in range(20)))

    assert run(kind, program) == b" ".join(sorted(b"outside:%d" % question for question in range(20)))


@BOTH
@on_machine()
def test_the_first_connection_does_not_wait_for_a_retransmission(kind: Wanted) -> None:
    def program(_: Sandboxed) -> bytes:
        started = time.monotonic()
        answer = ask(OUTSIDE)
        return answer + b" %.3f" % (time.monotonic() - started)

    answer, seconds = run(kind, program).split()
    print(f"first connection through {kind}: {float(seconds) * 1000:.0f} ms")
    assert answer == b"outside:hello"
    assert float(seconds) < FIRST_CONNECTION_SECONDS


@on_machine()
def test_a_stream_arrives_whole() -> None:
    """Through what is chosen here: an old pasta stalls now and then, for seconds."""

    def program(_: Sandboxed) -> bytes:
        with socket.socket() as client:
            client.connect((OUTSIDE, SERVICE_PORT))
            started = time.monotonic()
            client.sendall(b"count".ljust(1 << 20))
            for _block in range(63):
                client.sendall(bytes(1 << 20))
            total = client.recv(100)
        return total + b" %.3f" % (time.monotonic() - started)

    total, seconds = run("auto", program).split()
    print(f"one stream: {STREAM_BYTES / float(seconds) / 1e6:.0f} MB/s")
    assert int(total) == STREAM_BYTES


@on_machine()
def test_what_is_chosen_here_answers_by_tcp_and_after_a_half_close() -> None:
    """The reasons why an old pasta is not the first choice (helper.py)."""

    def program(_: Sandboxed) -> bytes:
        query = b"\x12\x34\1\0\0\1" + bytes(6) + b"\4name\4test\0\0\1\0\1"
        with socket.socket() as client:
            client.settimeout(5)
            client.connect((SUBNET.resolver, 53))
            client.sendall(len(query).to_bytes(2, "big") + query)
            name = socket.inet_ntoa(client.recv(512)[-4:]).encode()
        with socket.socket() as client:
            client.settimeout(5)
            client.connect((OUTSIDE, SERVICE_PORT))
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            time.sleep(0.2)
            answer = b""
            while piece := client.recv(100):
                answer += piece
        return name + b" " + answer

    assert run("auto", program) == ANSWER.encode() + b" outside:hello"


@on_machine()
def test_own_loopback_works_in_every_mode() -> None:
    def program(_: Sandboxed) -> bytes:
        answers = []
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family) as server, socket.socket(family) as client:
                server.bind((address, 0))
                server.listen()
                client.connect(server.getsockname()[:2])
                answers.append(address.encode())
        return b" ".join(answers)

    assert run("auto", program) == b"127.0.0.1 ::1"
    assert Sandboxed(program, network="none").finish() == b"127.0.0.1 ::1"


# what must not be reached


@BOTH
@on_machine()
def test_the_hosts_loopback_and_abstract_sockets_are_out_of_reach(kind: Wanted) -> None:
    def program(sandbox: Sandboxed) -> bytes:
        works = ask(OUTSIDE)  # so what follows fails for the right reason
        return works + b" " + reach_for_the_host(sandbox)

    for subnet in {SUBNET, Subnet(ipv6=kind == "pasta")}:
        answers = run(kind, program, subnet=subnet).split()
        assert answers[0] == b"outside:hello"
        assert len(answers) == 10
        assert not [answer for answer in answers[1:] if b":" in answer], answers


@on_machine()
def test_control_with_the_hosts_network_the_same_services_are_reached() -> None:
    answers = Sandboxed(reach_for_the_host, network="host").finish().split()
    assert answers[:4] == [b"loopback:hello"] * 4
    assert answers[-1] == b"abstract:hello"


@BOTH
@on_machine()
def test_control_a_gateway_that_is_mapped_is_noticed(kind: Wanted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the options that forbid it, the very same probe gets through: it would notice."""

    def careless(*arguments: Any, **keywords: Any) -> list[bytes]:
        words = command(*arguments, **keywords)
        return [word for word in words if word not in (b"--no-map-gw", b"--disable-host-loopback")]

    monkeypatch.setattr(on_demand, "command", careless)
    assert run(kind, lambda _: ask(SUBNET.gateway)) == b"loopback:hello"


@on_machine()
def test_none_reaches_nothing() -> None:
    def program(_: Sandboxed) -> bytes:
        return b" ".join(ask(ip) for ip in (OUTSIDE, MACHINE, OUTSIDE_6))

    assert Sandboxed(program, network="none").finish() == b"ENETUNREACH ENETUNREACH ENETUNREACH"

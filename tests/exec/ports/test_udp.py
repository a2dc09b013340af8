"""Datagrams through the forwarder."""

from __future__ import annotations

import socket
import time

import pytest

from envgit.exec.ports import forwarder as forwarder_module
from envgit.exec.ports import udp

from .box import ADDRESS, ADDRESS6, Box, wait_for
from .conftest import Forward
from .programs import ask, udp_client, udp_echo


def sockets_inside(box: Box) -> int:
    """Return how many clients the forwarder remembers: connected udp sockets inside."""
    with open(f"/proc/{box.pid}/net/udp", encoding="ascii") as file:
        return sum(line.split()[3] == "01" for line in list(file)[1:])


def test_each_client_gets_its_own_answers(box: Box, forward: Forward) -> None:
    box.serve(udp_echo(8053))
    _, (bound,) = forward("8053/udp")
    clients = [udp_client(bound) for _ in range(50)]
    for turn in range(3):
        for number, client in enumerate(clients):
            client.send(b"%d.%d" % (turn, number))
        for number, client in enumerate(clients):
            assert client.recv(100) == b"%s|%d.%d" % (ADDRESS.encode(), turn, number)
    assert sockets_inside(box) == 50
    for client in clients:
        client.close()


def test_the_answer_comes_from_the_address_that_was_asked(box: Box, forward: Forward) -> None:
    """A connected client drops what comes from elsewhere, so an answer proves it; all of 127/8 is this machine's."""
    box.serve(udp_echo(8053))
    _, (everywhere,) = forward("0.0.0.0::8053/udp")
    with udp_client(everywhere, "127.0.0.5") as one, udp_client(everywhere, "127.0.0.6") as two:
        assert ask(one, b"5") == ADDRESS.encode() + b"|5"
        assert ask(two, b"6") == ADDRESS.encode() + b"|6"


def test_ipv6_outside_and_inside(box: Box, forward: Forward) -> None:
    box.serve(udp_echo(8053, "::"))
    _, (six, any_six) = forward("[::1]::8053/udp", "[::]::8053/udp", address=ADDRESS6)
    with udp_client(six) as client:
        assert ask(client, b"x") == ADDRESS6.encode() + b"|x"
    with udp_client(any_six, "::1") as client:
        assert ask(client, b"y") == ADDRESS6.encode() + b"|y"


def test_sizes(box: Box, forward: Forward) -> None:
    box.serve(udp_echo(8053))
    _, (bound,) = forward("8053/udp")
    with udp_client(bound) as client:
        for size in (0, 1, 1472, 9000, 65000):
            client.send(bytes(size))
            assert len(client.recv(1 << 16)) == (size + len(ADDRESS) + 1 if size else 0)


def test_tcp_and_udp_at_one_number(box: Box, forward: Forward) -> None:
    from .programs import connect, each_client, receive_all, say_peer

    box.serve(udp_echo(8053))
    box.serve(each_client(8053, say_peer))
    _, (stream, datagrams) = forward("8053/tcp", "8053/udp")
    assert stream.host_port == datagrams.host_port
    with connect(stream) as one, udp_client(datagrams) as two:
        assert receive_all(one) == ADDRESS.encode()
        assert ask(two, b"x").endswith(b"|x")


def test_nothing_listens_yet(box: Box, forward: Forward) -> None:
    """Datagrams are lost until then, and the first one after is not."""
    forwarder, (bound,) = forward("8053/udp")
    with udp_client(bound) as client:
        for _ in range(5):
            client.send(b"lost")
            time.sleep(0.02)
        box.serve(udp_echo(8053))
        assert ask(client, b"x").endswith(b"|x")


def test_silent_clients_are_forgotten(box: Box, forward: Forward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "IDLE_SECONDS", 0.6)
    box.serve(udp_echo(8053))
    _, (bound,) = forward("8053/udp")
    with udp_client(bound) as silent, udp_client(bound) as lively:
        ask(silent, b"x")
        for number in range(12):
            ask(lively, b"%d" % number)
            time.sleep(0.1)
        assert sockets_inside(box) == 1
        assert wait_for(lambda: sockets_inside(box) == 0)
        assert ask(silent, b"again").endswith(b"|again")


def test_the_table_is_bounded(box: Box, forward: Forward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_module, "UDP_CLIENTS", 10)
    box.serve(udp_echo(8053))
    _, (bound,) = forward("8053/udp")
    clients = [udp_client(bound) for _ in range(40)]
    for client in clients:
        assert ask(client, b"x").endswith(b"|x")
    assert sockets_inside(box) == 10
    for client in clients:
        assert ask(client, b"x").endswith(b"|x")
        client.close()


def test_a_program_that_never_reads_blocks_nobody(box: Box, forward: Forward) -> None:
    def deaf(ready: object) -> None:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(("0.0.0.0", 8054))
        assert callable(ready)
        ready()
        time.sleep(1000)

    box.serve(deaf)
    box.serve(udp_echo(8053))
    _, (good, bad) = forward("8053/udp", "8054/udp")
    with udp_client(good) as client, udp_client(bad) as flood:
        for _ in range(5000):
            flood.send(bytes(1400))
        assert ask(client, b"x").endswith(b"|x")


def test_a_program_that_floods_blocks_nobody(box: Box, forward: Forward) -> None:
    def flood(ready: object) -> None:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(("0.0.0.0", 8054))
        assert callable(ready)
        ready()
        _, sender = bound.recvfrom(10)
        while True:
            bound.sendto(bytes(1400), sender)

    flooding = box.serve(flood)
    box.serve(udp_echo(8053))
    _, (good, bad) = forward("8053/udp", "8054/udp")
    with udp_client(good) as client, udp_client(bad) as victim:
        victim.send(b"go")
        victim.recv(2000)
        for number in range(50):
            assert ask(client, b"%d" % number).endswith(b"|%d" % number)
    box.stop(flooding)

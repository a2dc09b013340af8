"""Streams through the forwarder, as a client outside and a program inside see them."""

from __future__ import annotations

import os
import resource
import select
import socket
import threading
import time
from contextlib import suppress

import pytest

from envgit.exec.ports import forwarder as forwarder_module
from envgit.exec.ports import tcp

from .box import ADDRESS, ADDRESS6, SECONDS, Box, wait_for
from .conftest import Forward
from .programs import (
    PIECE,
    answer_at_the_end,
    connect,
    each_client,
    echo,
    echo_all,
    exchange,
    exchanging,
    hang,
    never_end,
    receive_all,
    reset,
    say_peer,
)

MANY = 1000
BIG = 64 << 20


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_thousand_connections_at_once_and_each_echoes(box: Box, forward: Forward) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    try:
        box.serve(echo(8080))
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)  # the forwarder raises its own
        _, (bound,) = forward("8080")
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
        clients = [connect(bound) for _ in range(MANY)]
        for turn in (b"first", b"second"):
            for number, client in enumerate(clients):
                client.sendall(b"%s %d" % (turn, number))
            for number, client in enumerate(clients):
                assert client.recv(100) == b"%s %d" % (turn, number)
        for client in clients:
            client.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_the_peer_is_the_sandbox_and_not_its_loopback(box: Box, forward: Forward) -> None:
    """A program that trusts 127.0.0.1 must not trust the world (CVE-2021-20199)."""
    box.serve(each_client(8080, say_peer))
    _, bounds = forward("8080", "0.0.0.0::8080", "[::1]::8080")
    for bound in bounds:
        with connect(bound) as client:
            assert receive_all(client) == ADDRESS.encode()
    _, (control,) = forward("8080", address="127.0.0.1")
    with connect(control) as client:
        assert receive_all(client) == b"127.0.0.1"


def test_ipv6_outside_and_inside(box: Box, forward: Forward) -> None:
    box.serve(each_client(8080, say_peer, "::"))
    _, (bound,) = forward("[::1]::8080", address=ADDRESS6)
    with connect(bound) as client:
        assert receive_all(client) == ADDRESS6.encode()


def test_a_port_where_nothing_listens_resets(box: Box, forward: Forward) -> None:
    _, (bound,) = forward("8080")
    with pytest.raises(ConnectionResetError), connect(bound) as client:
        client.recv(1)
    box.serve(each_client(8080, say_peer))
    with connect(bound) as client:
        assert receive_all(client) == ADDRESS.encode()


def test_a_program_on_the_loopback_inside_is_not_published(box: Box, forward: Forward) -> None:
    box.serve(each_client(8080, say_peer, "127.0.0.1"))
    _, (bound,) = forward("8080")
    with pytest.raises(ConnectionResetError), connect(bound) as client:
        client.recv(1)


def test_half_close(box: Box, forward: Forward) -> None:
    box.serve(each_client(8080, answer_at_the_end))
    _, (bound,) = forward("8080")
    with connect(bound) as client:
        client.sendall(b"x" * 300_000)
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == b"got 300000"


def test_half_close_from_inside(box: Box, forward: Forward) -> None:
    def serve(stream: socket.socket) -> None:
        stream.sendall(b"all I say")
        stream.shutdown(socket.SHUT_WR)
        heard.append(receive_all(stream))
        with socket.create_connection((ADDRESS, 8081)) as other:
            other.sendall(heard[0])

    heard: list[bytes] = []
    told = os.pipe()
    box.serve(each_client(8081, lambda stream: (os.write(told[1], receive_all(stream)), None)[1]))
    box.serve(each_client(8080, serve))
    _, (bound,) = forward("8080")
    with connect(bound) as client:
        assert receive_all(client) == b"all I say"
        client.sendall(b"still heard")
    assert os.read(told[0], 100) == b"still heard"


@pytest.mark.parametrize("held", ["copied", "left with the kernel"])
def test_big_transfers_both_ways_at_once(
    box: Box, forward: Forward, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    if held != "copied":
        monkeypatch.setattr(tcp, "HELD_BYTES", 0)
    box.serve(each_client(8080, exchanging(BIG)))
    _, (bound,) = forward("8080")
    with connect(bound) as client:
        client.sendall(b"!")
        sent, received = exchange(client, 1, BIG)
    assert sent != received
    with connect(bound) as client:
        client.sendall(b"?")
        assert receive_all(client) == received + sent


@pytest.mark.parametrize("held", [0, 1 << 20, tcp.HELD_BYTES])
def test_many_transfers_both_ways_at_once(
    box: Box, forward: Forward, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """Every direction of 40 connections meets a full target again and again; no byte and no wake-up is lost."""
    monkeypatch.setattr(tcp, "HELD_BYTES", held)
    box.serve(each_client(8080, echo_all))
    _, (bound,) = forward("8080")
    results: dict[int, tuple[bytes, bytes]] = {}

    def transfer(number: int) -> None:
        with connect(bound) as client:
            results[number] = exchange(client, number, (number % 7 + 1) * PIECE * 8)

    threads = [threading.Thread(target=transfer, args=(number,), daemon=True) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS * 3)
    assert len(results) == 40
    assert all(sent == received for sent, received in results.values())


def test_a_slow_reader_stops_its_sender_and_nobody_else(box: Box, forward: Forward) -> None:
    box.serve(each_client(8080, never_end))
    box.serve(each_client(8082, hang))
    box.serve(echo(8081))
    forwarder, bounds = forward("8080-8082")
    memory = _memory_bytes(forwarder.pid)
    slow = [connect(bounds[0]) for _ in range(4)]
    pushing = connect(bounds[2])
    pushing.setblocking(False)
    assert wait_for(lambda: _is_full(pushing))
    time.sleep(0.3)
    before = cpu_seconds(forwarder.pid)
    assert _memory_bytes(forwarder.pid) - memory < 128 << 20  # HELD_BYTES, and what the kernel does not take at once
    with connect(bounds[1]) as client:
        for number in range(200):
            client.sendall(b"%d" % number)
            assert client.recv(10) == b"%d" % number
    time.sleep(0.5)
    assert cpu_seconds(forwarder.pid) - before < 0.3  # no busy loop
    total = sum(len(slow[0].recv(PIECE)) for _ in range(500))  # what was stopped goes on
    assert total > 500
    for client in (*slow, pushing):
        reset(client)


@pytest.mark.parametrize("data", [b"", b"x" * 100_000])
def test_a_reset_outside_is_a_reset_inside(box: Box, forward: Forward, data: bytes) -> None:
    told_read, told_write = os.pipe()

    def serve(stream: socket.socket) -> None:
        try:
            receive_all(stream)
            os.write(told_write, b"end")
        except ConnectionResetError:
            os.write(told_write, b"reset")

    box.serve(each_client(8080, serve))
    _, (bound,) = forward("8080")
    client = connect(bound)
    client.sendall(data + b"x")
    time.sleep(0.1)
    reset(client)
    assert os.read(told_read, 10) == b"reset"
    client = connect(bound)
    client.close()
    assert os.read(told_read, 10) == b"end"  # the control


def test_a_reset_inside_is_a_reset_outside(box: Box, forward: Forward) -> None:
    def serve(stream: socket.socket) -> None:
        stream.recv(1)
        reset(stream)

    box.serve(each_client(8080, serve))
    _, (bound,) = forward("8080")
    with connect(bound) as client:
        client.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_program_that_closes_at_once(box: Box, forward: Forward) -> None:
    box.serve(each_client(8080, lambda stream: None))
    forwarder, (bound,) = forward("8080")
    for _ in range(200):
        with suppress(ConnectionResetError, BrokenPipeError), connect(bound) as client:
            client.sendall(b"x" * 1000)
            assert receive_all(client) == b""
    assert wait_for(lambda: _connections(box) == 0)


def test_beyond_the_limit_clients_wait(box: Box, forward: Forward, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 descriptors: ten connections or so are served, the eleventh when one has ended."""
    monkeypatch.setattr(forwarder_module, "MOST_DESCRIPTORS", 40)
    monkeypatch.setattr(forwarder_module, "raise_descriptor_limit", lambda: 40)
    box.serve(echo(8080))
    forwarder, (bound,) = forward("8080")
    clients = [connect(bound) for _ in range(30)]
    for client in clients:
        client.sendall(b"x")
    served = _answered(clients, 0.5)
    assert 8 <= len(served) <= 12
    before = cpu_seconds(forwarder.pid)
    time.sleep(0.3)
    assert cpu_seconds(forwarder.pid) - before < 0.1
    left = clients
    while left:
        assert served
        for client in served:
            client.close()
        left = [client for client in left if client not in served]
        served = _answered(left, 0.5) if left else []


def test_no_descriptors_at_all_is_survived(box: Box, forward: Forward, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is lower than was thought (ENFILE, say): accept fails, and is tried again."""

    def lie() -> int:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        return 1000

    monkeypatch.setattr(forwarder_module, "raise_descriptor_limit", lie)
    box.serve(echo(8080))
    forwarder, (bound,) = forward("8080")
    clients = [connect(bound) for _ in range(20)]
    time.sleep(0.3)
    before = cpu_seconds(forwarder.pid)
    time.sleep(0.5)
    assert cpu_seconds(forwarder.pid) - before < 0.1
    for client in clients:
        client.close()
    with connect(bound) as client:
        client.sendall(b"alive")
        assert client.recv(10) == b"alive"


def _answered(clients: list[socket.socket], seconds: float) -> list[socket.socket]:
    """Return the clients that have an answer, after some time to get it."""
    time.sleep(seconds)
    return list(select.select(clients, [], [], 0)[0])


def _is_full(stream: socket.socket) -> bool:
    try:
        while True:
            stream.send(bytes(PIECE))
    except BlockingIOError:
        return not select.select([], [stream], [], 0.2)[1]


def _memory_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) << 10


def _connections(box: Box) -> int:
    """Return how many connections the forwarder has inside."""
    with open(f"/proc/{box.pid}/net/tcp", encoding="ascii") as file:
        return sum(line.split()[3] == "01" for line in list(file)[1:])

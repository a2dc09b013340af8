"""Programs for the box, and what tests need to talk to them."""

from __future__ import annotations

import hashlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable

from envgit.exec.ports.publish import Bound

from .box import SECONDS, listen

PIECE = 1 << 16
Ready = Callable[[], None]
Program = Callable[[Ready], None]


def connect(bound: Bound, address: str | None = None) -> socket.socket:
    """Return a connection to a published port."""
    return socket.create_connection((address or bound.address, bound.host_port), SECONDS)


def receive_all(stream: socket.socket) -> bytes:
    """Return everything up to the end of the stream."""
    pieces = []
    while piece := stream.recv(PIECE):
        pieces.append(piece)
    return b"".join(pieces)


def reset(stream: socket.socket) -> None:
    """Close with RST."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def each_client(port: int, serve: Callable[[socket.socket], None], address: str = "0.0.0.0") -> Program:
    """Return a program that calls `serve` for each connection, in a thread of its own, and closes it."""

    def handle(stream: socket.socket) -> None:
        with stream:
            serve(stream)

    def program(ready: Ready) -> None:
        listener = listen(port, address)
        ready()
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=handle, args=(stream,), daemon=True).start()

    return program


def echo(port: int, address: str = "0.0.0.0") -> Program:
    """Return a program that sends everything back: one thread, any number of connections of short messages."""

    def program(ready: Ready) -> None:
        listener = listen(port, address)
        poller = select.epoll()
        poller.register(listener, select.EPOLLIN)
        streams: dict[int, socket.socket] = {}
        ready()
        while True:
            for fd, _ in poller.poll():
                if fd == listener.fileno():
                    stream, _ = listener.accept()
                    streams[stream.fileno()] = stream
                    poller.register(stream, select.EPOLLIN)
                    continue
                data = streams[fd].recv(PIECE)
                if data:
                    streams[fd].sendall(data)
                else:
                    streams.pop(fd).close()

    return program


def say_peer(stream: socket.socket) -> None:
    """Send the address that the client seems to have."""
    stream.sendall(stream.getpeername()[0].encode())


def answer_at_the_end(stream: socket.socket) -> None:
    """Send an answer only after the client has said that it will send no more."""
    stream.sendall(b"got %d" % len(receive_all(stream)))


def hang(stream: socket.socket) -> None:
    """Never read, never write."""
    time.sleep(SECONDS * 10)


def never_end(stream: socket.socket) -> None:
    """Send for ever, read nothing."""
    piece = bytes(PIECE)
    while True:
        stream.sendall(piece)


def exchange(stream: socket.socket, seed: int, size: int) -> tuple[bytes, bytes]:
    """Send `size` bytes that follow from `seed` and receive to the end, at once; return both SHA-256."""
    sent = hashlib.sha256()

    def send() -> None:
        block = hashlib.shake_256(b"%d" % seed).digest(PIECE)
        for number in range(size // PIECE):
            piece = number.to_bytes(8, "big") + block[8:]
            sent.update(piece)
            stream.sendall(piece)
        stream.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    received = hashlib.sha256()
    while piece := stream.recv(PIECE):
        received.update(piece)
    sender.join()
    return sent.digest(), received.digest()


def exchanging(size: int) -> Callable[[socket.socket], None]:
    """Return a server that exchanges when it hears "!", and at "?" tells what it then sent and received, as hashes."""
    results: list[bytes] = []
    done = threading.Event()

    def serve(stream: socket.socket) -> None:
        if stream.recv(1) == b"?":
            done.wait(SECONDS)
            stream.sendall(b"".join(results))
            return
        results[:] = exchange(stream, 2, size)
        done.set()

    return serve


def echo_all(stream: socket.socket) -> None:
    """Send everything back, as a server for `each_client`; stops reading while the client does."""
    while piece := stream.recv(PIECE):
        stream.sendall(piece)


def udp_echo(port: int, address: str = "0.0.0.0") -> Program:
    """Return a program that sends every datagram back with the apparent sender in front."""

    def program(ready: Ready) -> None:
        bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind((address, port))
        ready()
        while True:
            data, sender = bound.recvfrom(PIECE)
            bound.sendto(b"%s|%s" % (sender[0].encode(), data) if data != b"" else b"", sender)

    return program


def udp_client(bound: Bound, address: str | None = None) -> socket.socket:
    """Return a socket connected to a published udp port: it takes answers from exactly there."""
    client = socket.socket(socket.AF_INET6 if ":" in bound.address else socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(SECONDS)
    client.connect((address or bound.address, bound.host_port))
    return client


def ask(client: socket.socket, data: bytes) -> bytes:
    """Send a datagram and return the answer."""
    client.send(data)
    return client.recv(PIECE)

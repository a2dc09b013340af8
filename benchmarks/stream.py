"""python -m benchmarks.stream direct|forwarded AMOUNT [--hold]: traffic to a sink, with and without the port forwarder.

The sink runs in a user and network namespace of its own, as in a sandbox; no other program takes part.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import resource
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from envgit.exec import idmap, linux
from envgit.exec.ports.binding import bind, close
from envgit.exec.ports.forwarder import start_forwarder
from envgit.exec.ports.publish import Publish
from envgit.exec.process import start_time

_PIECE = 1 << 20
_PORT = 8080
_SECONDS = 60.0
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def send_stream(address: tuple[str, int], size: int) -> float:
    """Send `size` bytes through one connection; return the seconds until the sink has acknowledged the last."""
    piece = bytes(_PIECE)
    with socket.create_connection(address, _SECONDS) as stream:
        began = time.perf_counter()
        left = size
        while left:
            left -= stream.send(piece if left >= _PIECE else piece[:left])
        stream.shutdown(socket.SHUT_WR)
        answer = stream.recv(64)
        seconds = time.perf_counter() - began
    if answer != b"%d" % size:
        raise SystemExit(f"the sink got {answer!r} of {size} bytes")
    return seconds


def hold_connections(address: tuple[str, int], count: int) -> float:
    """Open `count` connections, send a byte through each while all are open; return the seconds until all are acknowledged."""
    began = time.perf_counter()
    streams = [socket.create_connection(address, _SECONDS) for _ in range(count)]
    for stream in streams:
        stream.sendall(b"x")
        stream.shutdown(socket.SHUT_WR)
    answers = [stream.recv(64) for stream in streams]
    seconds = time.perf_counter() - began
    for stream in streams:
        stream.close()
    if answers != [b"1"] * count:
        raise SystemExit("not every connection was served")
    return seconds


@contextmanager
def sink(*, forwarded: bool) -> Iterator[tuple[str, int]]:
    """Run a sink, in a namespace behind a forwarder or right here; yield the address to send to."""
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    flags = linux.CLONE_NEWUSER | linux.CLONE_NEWNET if forwarded else 0
    pid = linux.clone_process(flags)
    if pid == 0:
        _be_sink(forwarded, go_read, ready_write)
    try:
        if forwarded:
            idmap.write_maps(pid, idmap.choose_idmap())
        os.write(go_write, b"x")
        port = int.from_bytes(os.read(ready_read, 2), "big")
        if not forwarded:
            yield ("127.0.0.1", port)
            return
        bounds = bind([Publish(port)])
        forwarder = start_forwarder(pid, start_time(pid), bounds)
        try:
            yield (bounds[0].address, bounds[0].host_port)
        finally:
            forwarder.stop()
            close(bounds)
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for fd in (ready_read, ready_write, go_read, go_write):
            os.close(fd)


def _be_sink(inside: bool, go: int, ready: int) -> None:
    """Count the bytes of each connection and answer with the number at its end; never returns."""
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.read(go, 1)
        if inside:
            with socket.socket() as any_socket:
                fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
        listener = socket.create_server(("127.0.0.1", _PORT if inside else 0), backlog=4096)
        os.write(ready, listener.getsockname()[1].to_bytes(2, "big"))
        _count(listener)
    finally:
        os._exit(1)


def _count(listener: socket.socket) -> None:
    buffer = bytearray(_PIECE)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    streams: dict[int, socket.socket] = {}
    counts: dict[int, int] = {}
    while True:
        for fd, _ in poller.poll():
            if fd == listener.fileno():
                stream, _ = listener.accept()
                streams[stream.fileno()] = stream
                counts[stream.fileno()] = 0
                poller.register(stream, select.EPOLLIN)
                continue
            received = streams[fd].recv_into(buffer)
            counts[fd] += received
            if not received:
                with streams.pop(fd) as stream:
                    stream.sendall(b"%d" % counts.pop(fd))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("way", choices=("direct", "forwarded"))
    parser.add_argument("amount", type=int, help="bytes of one stream, or connections with --hold")
    parser.add_argument("--hold", action="store_true", help="hold many connections at once")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with sink(forwarded=options.way == "forwarded") as address:
        if options.hold:
            print(f"{options.amount} connections: {hold_connections(address, options.amount):.3f} s")
        else:
            seconds = send_stream(address, options.amount)
            print(f"{options.amount / seconds / 1e9:.2f} GB/s")


if __name__ == "__main__":
    main()

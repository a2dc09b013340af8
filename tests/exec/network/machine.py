"""A machine of the test's own, as root and as an ordinary user alike: its network, resolver and services, and a host outside.

`on_machine` runs a test in a forked process with namespaces of its own, so nothing depends on what this host is connected to.
The machine has 192.0.2.2 and 2001:db8:1::2 on e0; behind its router lies the outside host.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, ParamSpec

import pytest

from envgit.exec import linux

OUTSIDE, OUTSIDE_6 = "198.51.100.9", "2001:db8:9::9"
MACHINE, MACHINE_6 = "192.0.2.2", "2001:db8:1::2"
LOCAL_RESOLVER = "127.0.0.53"
SERVICE_PORT = 7000
"""Every address of the machine and of the outside host answers there, with its own name and an echo, TCP and UDP."""
STREAM_BYTES = 64 << 20
"""After "count" the services read so much, then say how much came."""
ABSTRACT_NAME = b"\0envgit-test-abstract"
ANSWER = "192.0.2.77"
"""What the resolvers say for every name."""
TIMEOUT_SECONDS = 60
_CAP_AMBIENT_RAISE = 2
_LAST_CAPABILITY = 37
"""CAP_AUDIT_READ: what every supported kernel knows."""

P = ParamSpec("P")


def on_machine(resolver: str = LOCAL_RESOLVER) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Run the decorated test on a machine whose /etc/resolv.conf names `resolver`."""

    def decorate(test: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(test)
        def run(*arguments: P.args, **keywords: P.kwargs) -> None:
            with tempfile.TemporaryDirectory() as folder:
                failure = _in_a_fork(lambda: _set_up(Path(folder), resolver), lambda: test(*arguments, **keywords))
            if failure:
                pytest.fail(failure, pytrace=False)

        return run

    return decorate


def _in_a_fork(set_up: Callable[[], None], test: Callable[[], None]) -> str:
    failure_read, failure_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(failure_read)
        os.setsid()
        try:
            set_up()
            test()
        except BaseException:
            os.write(failure_write, traceback.format_exc().encode()[-60000:])
        finally:
            os._exit(0)
    os.close(failure_write)
    failure = b""
    poll = select.poll()
    poll.register(failure_read, select.POLLIN)
    while poll.poll(TIMEOUT_SECONDS * 1000):
        piece = os.read(failure_read, 65536)
        failure += piece
        if not piece:
            break
    else:
        failure += b"the test took too long"
        os.kill(pid, signal.SIGKILL)
    os.close(failure_read)
    _, status = os.waitpid(pid, 0)
    if status and not failure:
        failure = b"the test's process ended with status %d" % status
    return failure.decode(errors="replace")


def _set_up(folder: Path, resolver: str) -> None:
    user = os.geteuid()
    group = os.getegid()
    if user:
        linux.unshare(linux.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        everything = (1 << _LAST_CAPABILITY + 1) - 1
        linux.capset(everything, everything, everything)
        for number in range(_LAST_CAPABILITY + 1):
            linux.prctl(linux.PR_CAP_AMBIENT, _CAP_AMBIENT_RAISE, number)
    linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS)
    linux.mount_propagation_private()
    configuration = folder / "resolv.conf"
    configuration.write_text(f"nameserver {resolver}\nsearch example.test\n")
    configuration.chmod(0o644)
    folder.chmod(0o755)
    call("mount", "--bind", str(configuration), os.path.realpath("/etc/resolv.conf"))
    outside = _Outside()
    call("ip", "link", "add", "e0", "type", "veth", "peer", "name", "e1", "netns", str(outside.pid))
    _configure("e0", MACHINE, MACHINE_6)
    call("ip", "route", "add", "default", "via", "192.0.2.1")
    call("ip", "-6", "route", "add", "default", "via", "2001:db8:1::1")
    outside.go()
    if not user:
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    serve(b"loopback", "127.0.0.1", "::1")
    serve(b"machine", MACHINE, MACHINE_6)
    serve_names(LOCAL_RESOLVER)
    serve_abstract()
    if user:
        linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
        linux.capset(0, 0, 0)
        linux.prctl(linux.PR_SET_DUMPABLE, 1)


class _Outside:
    """The host behind the router, in a network namespace of its own."""

    def __init__(self) -> None:
        ready_read, ready_write = os.pipe()
        self._go_read, self._go_write = os.pipe()
        self._done_read, self._done_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _die_with_parent()
            linux.unshare(linux.CLONE_NEWNET)
            os.write(ready_write, b"x")
            os.read(self._go_read, 1)
            _configure("e1", "192.0.2.1", "2001:db8:1::1")
            call("ip", "address", "add", OUTSIDE + "/32", "dev", "lo")
            call("ip", "address", "add", OUTSIDE_6 + "/128", "dev", "lo", "nodad")
            serve(b"outside", OUTSIDE, OUTSIDE_6)
            serve_names(OUTSIDE)
            os.write(self._done_write, b"x")
            _sleep_for_good()
        os.read(ready_read, 1)

    def go(self) -> None:
        os.write(self._go_write, b"x")
        os.read(self._done_read, 1)


def _configure(link: str, address: str, address_6: str) -> None:
    call("ip", "link", "set", "lo", "up")
    call("ip", "address", "add", address + "/24", "dev", link)
    call("ip", "address", "add", address_6 + "/64", "dev", link, "nodad")
    call("ip", "link", "set", link, "addrgenmode", "none", "up")  # its own link-local address takes seconds to be valid
    call("ip", "address", "add", f"fe80::{address[-1]}/64", "dev", link, "nodad")


def call(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


# services, each in a process that dies with the test's


def serve(name: bytes, *addresses: str) -> None:
    """Answer on SERVICE_PORT of each address, TCP and UDP: `name:` and an echo of what was sent."""
    sockets = [_bound(address, kind) for address in addresses for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
    _fork_server([functools.partial(_serve_socket, server, name) for server in sockets])


def serve_names(address: str) -> None:
    """Be a resolver: every name has the address ANSWER, every other question no answer."""
    sockets = [_bound(address, kind, 53) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
    _fork_server([functools.partial(_serve_socket, server, None) for server in sockets])


def serve_abstract() -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(ABSTRACT_NAME)
    server.listen()
    _fork_server([functools.partial(_serve_socket, server, b"abstract")])


def _bound(address: str, kind: socket.SocketKind, port: int = SERVICE_PORT) -> socket.socket:
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    if kind == socket.SOCK_STREAM:
        server.listen(256)
    return server


def _serve_socket(server: socket.socket, name: bytes | None) -> None:
    if server.type == socket.SOCK_DGRAM:
        while True:
            data, peer = server.recvfrom(2048)
            server.sendto(_resolve(data) if name is None else name + b":" + data, peer)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_serve_connection, args=(connection, name), daemon=True).start()


def _serve_connection(connection: socket.socket, name: bytes | None) -> None:
    with suppress(OSError), connection:
        data = connection.recv(1 << 20)
        if name is None:
            reply = _resolve(data[2:])
            connection.sendall(len(reply).to_bytes(2, "big") + reply)
        elif data.startswith(b"count"):
            total = len(data)
            while total < STREAM_BYTES and (piece := connection.recv(1 << 20)):
                total += len(piece)
            connection.sendall(b"%d" % total)
        else:
            connection.sendall(name + b":" + data)


def resolve(name: str, resolver: str) -> str:
    """Ask a resolver for a name's IPv4 address, as the C library does."""
    query = b"\x12\x34\1\0\0\1" + bytes(6)
    query += b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(3)
        client.connect((resolver, 53))
        client.send(query)
        reply = client.recv(512)
    assert reply[:2] == query[:2]
    return socket.inet_ntoa(reply[-4:])


def _resolve(query: bytes) -> bytes:
    end = query.index(b"\0", 12) + 5
    kind = int.from_bytes(query[end - 4 : end - 2], "big")
    answers = 1 if kind == 1 else 0
    reply = query[:2] + b"\x81\x80\0\1" + answers.to_bytes(2, "big") + bytes(4) + query[12:end]
    if answers:
        reply += b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(ANSWER)
    return reply


def _fork_server(loops: list[Callable[[], None]]) -> None:
    if os.fork() == 0:
        try:
            _die_with_parent()
            for loop in loops:
                threading.Thread(target=loop, daemon=True).start()
            _sleep_for_good()
        finally:
            os._exit(1)


def _die_with_parent() -> None:
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)


def _sleep_for_good() -> NoReturn:
    while True:
        signal.pause()

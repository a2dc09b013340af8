"""The host's sockets, bound before there is a sandbox."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from envgit.errors import SandboxError, UsageError
from envgit.exec.ports.binding import bind, close
from envgit.exec.ports.publish import Publish, parse_publish

from .box import SECONDS, Box


def free_range(count: int) -> int:
    """Return the first of some neighbouring host ports that are free now."""
    for first in range(20000 + os.getpid() % 9000, 32000, count):
        try:
            close(bind(parse_publish(f"{first}-{first + count - 1}:80-{79 + count}")))
            return first
        except SandboxError:
            continue
    raise AssertionError("no free ports")


def test_a_client_is_queued_before_anything_runs() -> None:
    (bound,) = bind(parse_publish("80"))
    with closing(socket.create_connection((bound.address, bound.host_port), SECONDS)) as client:
        assert client.getpeername() == ("127.0.0.1", bound.host_port)
    assert not os.get_inheritable(bound.fd) and not os.get_blocking(bound.fd)
    close([bound])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((bound.address, bound.host_port), SECONDS)


def test_one_number_for_tcp_and_udp() -> None:
    bounds = bind(parse_publish("53/tcp") + parse_publish("53/udp"))
    assert bounds[0].host_port == bounds[1].host_port
    again = bind([Publish(53, each.protocol, "127.0.0.2", each.host_port, each.host_port) for each in bounds])
    close(bounds + again)


def test_the_first_free_of_a_range() -> None:
    first = free_range(3)
    wish = parse_publish(f"{first}-{first + 1}:80")
    one, two = bind(wish), bind(wish)
    assert [one[0].host_port, two[0].host_port] == [first, first + 1]
    with pytest.raises(SandboxError, match="every host port") as caught:
        bind(wish)
    assert caught.value.exit_code == 125
    close(one + two)


@pytest.mark.parametrize(("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)])
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_an_occupied_port_names_who_has_it(protocol: str, kind: int, address: str) -> None:
    family = "AF_INET6" if ":" in address else "AF_INET"
    program = (
        f"import socket; s = socket.socket(socket.{family}, {int(kind)}); s.bind(({address!r}, 0)); "
        f"{'s.listen()' if protocol == 'tcp' else 'None'}; print(s.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        port = int(other.stdout.readline())
        text = f"[::1]:{port}:80/{protocol}" if ":" in address else f"127.0.0.1:{port}:80/{protocol}"
        with pytest.raises(SandboxError) as caught:
            bind(parse_publish(text))
        other.communicate("\n", timeout=SECONDS)
    shown = f"[::1]:{port}" if ":" in address else f"127.0.0.1:{port}"
    assert f"host port {shown}/{protocol} is occupied by python" in caught.value.message
    assert f"(process {other.pid})" in caught.value.message
    assert f"-p {port + 1}:80" in (caught.value.hint or "")


def test_all_or_none() -> None:
    (first,) = bind(parse_publish("80"))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(SandboxError, match=r"occupied by .*process"):
        bind(parse_publish("81") + parse_publish(f"{first.host_port}:80"))
    assert os.listdir("/proc/self/fd") == before
    close([first])


def test_the_same_host_port_twice() -> None:
    with pytest.raises(UsageError, match="published twice"):
        bind(parse_publish("20080:80") + parse_publish("20080:81"))


def test_both_wildcards_and_time_wait() -> None:
    port = free_range(1)
    bounds = bind(parse_publish(f"0.0.0.0:{port}:80") + parse_publish(f"[::]:{port}:80"))
    with closing(socket.create_connection(("127.0.0.1", port), SECONDS)) as client:
        listener = socket.socket(fileno=os.dup(bounds[0].fd))
        listener.setblocking(True)
        accepted, _ = listener.accept()
        accepted.close()  # the side that closes first keeps the port in TIME_WAIT
        listener.close()
        assert client.recv(1) == b""
    close(bounds)
    close(bind(parse_publish(f"{port}:80")))


def test_an_address_of_another_machine() -> None:
    with pytest.raises(SandboxError, match=r"no interface of this machine has the address 192\.0\.2\.1"):
        bind(parse_publish("192.0.2.1:8080:80"))


def test_a_privileged_port_without_the_right(box: Box) -> None:
    """In the box, whose network has the kernel's defaults, and where programs have no capability."""

    def attempt() -> str:
        try:
            bind(parse_publish("81:80"))
        except SandboxError as error:
            return f"{error.message} | {error.hint}"
        return "bound"

    assert box.ask(attempt) == (
        "host port 127.0.0.1:81/tcp is reserved for root | "
        "use -p 8081:80, or allow it to all: sysctl net.ipv4.ip_unprivileged_port_start=81 (now 1024)"
    )


@pytest.mark.root_only
def test_a_privileged_port_as_root() -> None:
    (bound,) = bind(parse_publish("127.0.0.77:81:80"))
    assert bound.host_port == 81
    close([bound])


@pytest.mark.user_only
def test_the_holder_of_another_user_is_not_named() -> None:
    """PID 1's sockets, say; simulated by a socket whose process cannot be looked into."""
    program = (
        "import ctypes, socket; s = socket.create_server(('127.0.0.1', 0)); ctypes.CDLL(None).prctl(4, 0); "
        "print(s.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        port = int(other.stdout.readline())
        with pytest.raises(SandboxError, match=r"/tcp is occupied$"):
            bind(parse_publish(f"{port}:80"))
        other.communicate("\n", timeout=SECONDS)

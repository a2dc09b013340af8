"""The port forwarder: one process in the sandbox's network that serves the host's listening sockets.

A socket belongs to the network namespace it was made in, whoever holds it: the forwarder accepts on sockets of the host and
connects from inside the sandbox's network to the sandbox's own address. So programs inside see the sandbox's address
as the peer, not a loopback address that they would trust (CVE-2021-20199), and one that listens on its loopback only is not
reachable, as with docker. The monitor keeps the listening sockets: when a forwarder dies, clients wait in their queues
until the next one.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
from _socket import AF_INET, AF_INET6, inet_pton
from collections.abc import Sequence
from contextlib import suppress
from select import EPOLLIN, epoll
from typing import NoReturn

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.child import close_all_but
from envgit.exec.identity import Identity
from envgit.exec.ports.publish import Bound
from envgit.exec.ports.tcp import Handlers, TcpRelay
from envgit.exec.ports.udp import UdpRelay
from envgit.exec.privileges import become_namespace_root, drop_privileges
from envgit.exec.process import start_time as read_start_time

LOOPBACK = "127.0.0.1"
"""The address inside for a sandbox whose network has no other."""

UDP_CLIENTS = 1024
MOST_DESCRIPTORS = 65536
_SPARE_DESCRIPTORS = 16
_EVENTS = 512


class Forwarder:
    """A forwarder as its monitor sees it. `fileno()` is a pidfd: readable when the process has died; then restart()."""

    __slots__ = ("_address", "_bounds", "_control", "_pidfd", "_start_time", "_target", "pid")

    def __init__(self, target: int, start_time: int, bounds: Sequence[Bound], address: str) -> None:
        self._target = target
        self._start_time = start_time
        self._bounds = tuple(bounds)
        self._address = address
        self._control = self._pidfd = -1
        self.pid = 0
        self._start()

    def fileno(self) -> int:
        return self._pidfd

    def restart(self) -> None:
        """End the process if it lives and start another on the same sockets; fileno() changes.

        Connections of the old one are gone, those that wait are not. Raises SandboxError when the sandbox has ended.
        """
        self.stop()
        self._start()

    def stop(self) -> None:
        """End the process and reap it; the listening sockets stay open. Does nothing the second time."""
        if not self.pid:
            return
        os.close(self._control)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self._pidfd)
        self.pid, self._control, self._pidfd = 0, -1, -1

    def _start(self) -> None:
        monitor = os.getpid()
        control_read, control_write = os.pipe()
        report_read, report_write = os.pipe()
        try:
            pid = linux.clone_process(0)
        except OSError as error:
            for fd in (control_read, control_write, report_read, report_write):
                os.close(fd)
            raise SandboxError(f"cannot start the port forwarder: {error.strerror}") from error
        if pid == 0:
            try:
                close_all_but((control_read, report_write, *(bound.fd for bound in self._bounds)))
                self._run(monitor, control_read, report_write)
            except OSError as error:
                with suppress(OSError):
                    os.write(report_write, (error.strerror or str(error)).encode("utf-8", "replace"))
            except SandboxError as error:
                with suppress(OSError):
                    os.write(report_write, error.message.encode("utf-8", "replace"))
            finally:
                os._exit(1)
        os.close(control_read)
        os.close(report_write)
        try:
            self.pid, self._control, self._pidfd = pid, control_write, os.pidfd_open(pid)
            answer = os.read(report_read, 4096)
        finally:
            os.close(report_read)
        if answer != b"ready":
            self.stop()
            reason = answer.decode("utf-8", "replace") or "its process was killed"
            raise SandboxError(f"cannot start the port forwarder: {reason}")

    def _run(self, monitor: int, control: int, report: int) -> NoReturn:
        _leave_the_callers_terminal((control, report, *(bound.fd for bound in self._bounds)))
        enter_network(self._target, self._start_time)
        if os.getppid() != monitor:  # it died before PDEATHSIG was armed
            os._exit(0)
        descriptors = raise_descriptor_limit()
        os.write(report, b"ready")
        os.close(report)
        gc.freeze()
        serve(self._bounds, self._address, control, descriptors)


def start_forwarder(pid: int, start_time: int, bounds: Sequence[Bound], address: str = LOOPBACK) -> Forwarder:
    """Start the process that carries the traffic of `bounds` to `address` of the sandbox whose first process is `pid`.

    To be called once that process has become its program; before, it is closed to everybody. `start_time` (ticks since
    boot) guards against a reused pid. `address` is the sandbox's own, IPv4 or IPv6, LOOPBACK only
    where there is no other. Returns when it serves. It dies with the calling process (PDEATHSIG, and the end of a
    pipe), at SIGTERM, and by stop(). Must be called from a process with no other thread. Raises SandboxError.
    """
    inet_pton(AF_INET6 if ":" in address else AF_INET, address)
    return Forwarder(pid, start_time, bounds, address)


def enter_network(pid: int, start_time: int) -> None:
    """Put this process, for good, into the user and network namespaces of `pid`, as its root without any capability.

    Root of the host becomes the sandbox's root, who owns nothing of the host. Raises OSError or SandboxError.
    """
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    try:
        target = os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise SandboxError(f"the sandbox with pid {pid} is gone") from error
    if read_start_time(pid) != start_time:
        raise SandboxError(f"the sandbox with pid {pid} is gone")
    with open(f"/proc/{pid}/setgroups", "rb", buffering=0) as file:
        groups_allowed = file.read(16).strip() == b"allow"
    linux.setns(target, linux.CLONE_NEWUSER | linux.CLONE_NEWNET)
    os.close(target)
    become_namespace_root(groups_allowed)
    drop_privileges(Identity(0, 0, (), b""), 0, groups_allowed, True)


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one, within MOST_DESCRIPTORS; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def serve(bounds: Sequence[Bound], address: str, control: int, descriptors: int) -> NoReturn:
    """Carry traffic until `control` is readable or at its end; exit the process then."""
    poller = epoll()
    handlers: Handlers = {control: lambda fd, events: os._exit(0)}
    poller.register(control, EPOLLIN)
    free = descriptors - len(bounds) - _SPARE_DESCRIPTORS
    datagrams = [bound for bound in bounds if bound.protocol == "udp"]
    clients = min(UDP_CLIENTS, free // 4) if datagrams else 0
    tcp = TcpRelay(
        poller, handlers, address, [bound for bound in bounds if bound.protocol == "tcp"], (free - clients) // 2
    )
    udp = UdpRelay(poller, handlers, address, datagrams, clients)
    while True:
        waits = [seconds for seconds in (tcp.wait_seconds(), udp.wait_seconds()) if seconds is not None]
        for fd, events in poller.poll(min(waits, default=None), _EVENTS):
            handler = handlers.get(fd)
            if handler is not None:
                handler(fd, events)
        tcp.work()
        udp.work()


def _leave_the_callers_terminal(kept: tuple[int, ...]) -> None:
    """A session of its own: ^C and a closed terminal are for the sandbox. Descriptors 0 to 2 lead nowhere."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in {0, 1, 2} - {null, *kept}:
        os.dup2(null, fd)
    if null > 2:
        os.close(null)

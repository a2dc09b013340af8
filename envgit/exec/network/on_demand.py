"""The monitor's side of a private network: a helper program is started when the first packet waits, never before.

The tap inside has no carrier and its gateway no hardware address, so the kernel keeps packets and asks for the address.
That question starts the helper; when it has attached to the tap, the answer is given and the packets leave, none lost.
When the helper ends, the address is forgotten: the next packet starts another one.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from struct import pack, unpack_from
from typing import NoReturn, Protocol

from envgit.exec import linux
from envgit.exec.network import netlink
from envgit.exec.network.carrier import Helper, command
from envgit.exec.network.liveness import is_running
from envgit.exec.network.subnet import GATEWAY_6, GATEWAY_HARDWARE, INTERFACE, PATIENCE_SECONDS, Subnet

POLL_SECONDS = 0.002
START_SECONDS = 8.0
RESTART_SECONDS = 1.0
EXIT_FD = 3
"""Where the helper finds the pipe that hangs up with the monitor."""

_SIOCGIFINDEX = 0x8933
_STDERR_BYTES = 65536


class Loop(Protocol):
    """What is needed of reactor.Reactor."""

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None: ...

    def unwatch(self, fd: int) -> None: ...

    def after(self, seconds: float, call: Callable[[], None]) -> None: ...


class OnDemand:
    """One sandbox's way out. Takes over `route`, the socket that link.MakeTap handed out; close() ends everything.

    `pid` is PID 1 of the sandbox, a process of this monitor that it has not waited for. `helpers` are tried in turn;
    `warn` gets one line when one fails or ends. Nothing raises once the sandbox runs: without a helper the network
    inside is unreachable, at once.
    """

    def __init__(
        self,
        loop: Loop,
        route: int,
        pid: int,
        subnet: Subnet,
        helpers: tuple[Helper, ...],
        warn: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._route = route
        self._pid = pid
        self._subnet = subnet
        self._helpers = list(helpers)
        self._warn = warn
        self._running: _Process | None = None
        self._attached = False
        self._give_up_at = 0.0
        self._not_before = 0.0
        found = fcntl.ioctl(route, _SIOCGIFINDEX, pack("=16s24x", INTERFACE.encode()))
        (self._index,) = unpack_from("=i", found, 16)
        self._gateways: tuple[str, ...] = (subnet.gateway, GATEWAY_6) if subnet.ipv6 else (subnet.gateway,)
        loop.watch(route, select.POLLIN, self._notified)

    @property
    def helper_pid(self) -> int | None:
        """The process that carries packets now, if any."""
        return self._running.pid if self._running else None

    @property
    def is_open(self) -> bool:
        """Whether packets leave now."""
        return self._attached

    def close(self) -> None:
        """End the helper and wait until it is gone; the network inside is dead afterwards. May be called twice."""
        if self._route < 0:
            return
        if self._running:
            self._drop(self._running)
        self._loop.unwatch(self._route)
        os.close(self._route)
        self._route = -1

    def _notified(self, events: int) -> None:
        asked = netlink.asked_for_neighbour(self._route)
        # A helper that dies soon is not started in a loop: the kernel asks again every second while packets wait.
        if asked and self._running is None and time.monotonic() >= self._not_before:
            self._start()

    def _start(self) -> None:
        now = time.monotonic()
        self._not_before = now + RESTART_SECONDS
        self._give_up_at = now + START_SECONDS
        self._attached = False
        try:
            self._running = _Process(self._helpers[0], self._pid, self._subnet)
        except OSError as error:
            self._try_next(error.strerror or "")
            return
        self._loop.watch(self._running.pidfd, select.POLLIN, self._ended)
        self._loop.after(POLL_SECONDS, self._look)

    def _look(self) -> None:
        """Open the way when the helper has attached; look again soon when it has not."""
        running = self._running
        if running is None or self._attached:
            return
        try:
            if netlink.is_operational(self._route, self._index):
                self._open_way()
                self._attached = True
            elif time.monotonic() > self._give_up_at:
                self._drop(running)
                self._try_next(f"it did not attach to the network within {START_SECONDS:g} s")
            else:
                self._loop.after(POLL_SECONDS, self._look)
        except OSError as error:
            self._drop(running)
            self._try_next(error.strerror or "")

    def _ended(self, events: int) -> None:
        """The helper is gone. One that never attached does not work here; another one is started when it is needed."""
        running = self._running
        if running is None:
            return
        attached = self._attached
        said = self._drop(running)
        if not attached:
            self._try_next(said)
            return
        self._warn(f"the network helper {running.kind} ended ({said}); it is started again when it is needed")
        self._close_way()

    def _try_next(self, reason: str) -> None:
        failed = self._helpers[0]
        if not is_running(self._pid):
            return  # the sandbox ended meanwhile
        self._warn(f"the network helper {failed.kind} does not work here: {reason}")
        if len(self._helpers) > 1:
            del self._helpers[0]
            if self._subnet.ipv6 and self._helpers[0].kind != "pasta":
                self._withdraw(GATEWAY_6)
            self._start()
            return
        for gateway in self._gateways:
            self._withdraw(gateway)

    def _withdraw(self, gateway: str) -> None:
        """Take a default route away: programs are told at once that there is no way there."""
        _ignore_errors(self._route, netlink.delete_default_route(self._index, gateway))
        _ignore_errors(self._route, netlink.forget_neighbour(self._index, gateway))
        self._gateways = tuple(address for address in self._gateways if address != gateway)

    def _open_way(self) -> None:
        # slirp4netns loses its first answer unless it has seen our hardware address: a question on the wire shows it.
        netlink.request(
            self._route,
            netlink.ask_for_neighbours(self._index, wire=3),
            netlink.look_for_neighbour(self._index, self._subnet.resolver),
            *(netlink.set_neighbour(self._index, address, GATEWAY_HARDWARE) for address in self._gateways),
        )

    def _close_way(self) -> None:
        messages = [netlink.forget_neighbour(self._index, address) for address in self._gateways]
        for message in (*messages, netlink.ask_for_neighbours(self._index, userspace=PATIENCE_SECONDS)):
            _ignore_errors(self._route, message)

    def _drop(self, running: _Process) -> str:
        self._loop.unwatch(running.pidfd)
        self._running = None
        self._attached = False
        return running.end()


class _Process:
    """A running helper: own session, no environment, no descriptors of ours, dead with the monitor."""

    def __init__(self, helper: Helper, sandbox: int, subnet: Subnet) -> None:
        self.kind = helper.kind
        self._said, said_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)  # a full pipe never stops the helper
        exit_read, self._exit_write = os.pipe2(os.O_CLOEXEC)
        try:
            words = command(helper, sandbox, subnet, as_root=os.geteuid() == 0, exit_fd=EXIT_FD)
            monitor = os.getpid()
            self.pid = linux.clone_process(0)
            if self.pid == 0:
                _become(words, monitor, said_write, exit_read)
            self.pidfd = os.pidfd_open(self.pid)
        except OSError:
            os.close(self._said)
            os.close(self._exit_write)
            raise
        finally:
            os.close(said_write)
            os.close(exit_read)

    def end(self) -> str:
        """Kill it if it lives, wait for it, and return why it ended: a signal, the last line it said, or its exit status."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except (ProcessLookupError, ChildProcessError):  # somebody waited for every child
            status = 0
        try:
            text = os.read(self._said, _STDERR_BYTES).decode("utf-8", "replace")
        except BlockingIOError:
            text = ""
        for fd in (self.pidfd, self._said, self._exit_write):
            os.close(fd)
        lines = [line.strip() for line in text.splitlines() if line.strip() and "syslog" not in line]
        printable = "".join(letter for letter in (lines[-1] if lines else "") if letter.isprintable())
        return f"killed by signal {-status}" if status < 0 else printable[:200] or f"exit status {status}"


def _become(words: list[bytes], monitor: int, said: int, exit_fd: int) -> NoReturn:
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != monitor:
            os._exit(1)
        os.setsid()  # keys of the caller's terminal are not for it
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        for fd, target in ((null, 0), (null, 1), (said, 2)):
            os.dup2(fd, target)
        if exit_fd == EXIT_FD:
            os.set_inheritable(EXIT_FD, True)
        else:
            os.dup2(exit_fd, EXIT_FD)
        linux.close_range(EXIT_FD + 1, linux.LAST_FD)
        for number in range(1, signal.NSIG):
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                linux.default_signal(number)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(words[0], words, {})
    except OSError as error:
        os.write(2, (error.strerror or "").encode())
    finally:
        os._exit(126)


def _ignore_errors(route: int, message: bytes) -> None:
    with suppress(OSError):
        netlink.request(route, message)

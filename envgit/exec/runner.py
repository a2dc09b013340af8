"""The monitor of one sandbox: start it, wait for its program, pass signals on, look after what lives beside it.

Two processes exist: this one, and PID 1 of the sandbox, which becomes the program. When either dies, the kernel ends
the rest: the program's end kills its pid namespace, the monitor's end kills the program (PDEATHSIG).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from envgit.exec import linux
from envgit.exec.launch import Sandbox, launch
from envgit.exec.mount.plan import layers_base, plan_mounts
from envgit.exec.process import ENDING, FORWARDED, deliver, end, exit_status
from envgit.exec.reactor import READABLE, Reactor
from envgit.exec.spec import SandboxSpec
from envgit.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envgit.exec.cgroups.kind import Group
    from envgit.exec.console import Console
    from envgit.exec.ports.publish import Bound

StartedCallback = Callable[[int, int], None]
_SIGNALFD_BYTES = 128


class Companions:
    """What lives beside a sandbox in its monitor; every method may be left as it is.

    One object per run: the use case puts network, ports, limits, logs together in it.
    """

    takes_terminal = False
    """Whether started() takes Sandbox.terminal over; else it is copied to and from descriptors 0 and 1."""

    def furnished(self, ports: tuple[Bound, ...], group: Group | None) -> None:
        """These ports are bound and this group is made; nothing has been cloned."""

    def created(self, pid: int) -> None:
        """The namespaces exist and ids are mapped; the process waits. An exception ends it and the run."""

    def started(self, sandbox: Sandbox, reactor: Reactor) -> None:
        """The program runs. Descriptors may be watched from now on."""

    def ran_out_of_memory(self) -> None:
        """The kernel ended a program because a limit was reached; ended() follows."""

    def ended(self, status: int) -> None:
        """The program and everything in the sandbox is gone. Not called when it never started."""


def run(
    spec: SandboxSpec,
    *,
    stdio: tuple[int, int, int] = (0, 1, 2),
    companions: Companions | None = None,
    on_started: StartedCallback | None = None,
    on_created: Callable[[tuple[bytes, ...]], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> int:
    """Run the program of `spec` in a new sandbox and return its status, 0 to 255.

    A program killed by signal N gives 128+N. `on_started(pid, start_time)` is called once the program runs (it may
    have ended already): the two numbers identify it for a LiveRoot or Inside. Before that `on_created(paths)`, when mount points
    were made in the root for volumes (Sandbox.created). `on_warning` receives what could not be had. With
    `spec.terminal` the program has a terminal of its own, copied to and from descriptors 0 and 1 of this process, unless
    `companions` take it. Raises SandboxError (exit 125) or a subclass: ProgramNotExecutable (126), ProgramNotFound
    (127), HostUnsupported (125). Must be called from the main thread; changes the working directory and signal mask
    while it works and restores both. On return nothing of the sandbox is left.
    """
    watched = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN} | {signal.SIGWINCH}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        start = launch(spec, stdio=stdio, warn=on_warning or (lambda message: None))
        try:
            if companions is not None:
                companions.created(start.pid)
            start.release()
        except BaseException:
            start.abort()
            raise
        sandbox = start.confirm()
        owned = {fd for fd in (sandbox.terminal, sandbox.route) if fd >= 0}  # until somebody takes them over
        try:
            if on_created is not None and sandbox.created:
                on_created(sandbox.created)
            if on_started is not None:
                on_started(sandbox.pid, sandbox.start_time)
            status = _attend(sandbox, companions, {int(number) for number in watched}, owned)
        except BaseException:
            end(sandbox.pid)
            raise
        finally:
            for fd in owned:
                os.close(fd)
        if companions is not None:
            companions.ended(status)
        return status
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def plan(spec: SandboxSpec) -> list[str]:
    """Return one line per mount operation, in order, without doing anything."""
    return [operation.describe() for operation in plan_mounts(spec, layers_base(spec), {})]


class Ending:
    """How a sandbox ends: waits for its first process through a pidfd and passes signals on."""

    __slots__ = ("_killed_by", "_pidfd", "pid", "status")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None
        self._killed_by = 0
        self._pidfd = os.pidfd_open(pid)

    def watch(self, reactor: Reactor, then: Callable[[], None] = lambda: None) -> None:
        """Set `status`, close the pidfd and call `then` when the process has ended."""

        def ended(events: int) -> None:
            reactor.unwatch(self._pidfd)
            self.close()
            status = exit_status(os.waitpid(self.pid, 0)[1])
            self.status = 128 + self._killed_by if self._killed_by else status
            then()

        reactor.watch(self._pidfd, READABLE, ended)

    def kill(self) -> None:
        """End it now and wait; for a monitor that gives up."""
        if self.status is None:
            end(self.pid)
            self.close()

    def close(self) -> None:
        """Close the pidfd; may be called twice."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def deliver(self, number: int) -> None:
        """Pass a signal on; when that ends PID 1 because the kernel would have ignored it, the status says which signal."""
        if self.status is None and deliver(self.pid, number):
            self._killed_by = number


def _attend(sandbox: Sandbox, companions: Companions | None, watched: set[int], owned: set[int]) -> int:
    """Look after a running sandbox until its program ends; return its status. What is taken over leaves `owned`."""
    ending: Ending | None = None
    console: Console | None = None
    signals = -1
    reactor = Reactor()
    try:
        signals = linux.signalfd(watched)
        ending = watched_over = Ending(sandbox.pid)
        ending.watch(reactor)
        if companions is not None:
            owned.discard(sandbox.route)
            if companions.takes_terminal:
                owned.discard(sandbox.terminal)
            companions.started(sandbox, reactor)
        if sandbox.terminal in owned:
            from envgit.exec.console import Console

            console = Console(sandbox.terminal, reactor)
            owned.discard(sandbox.terminal)

        def signalled(events: int) -> None:
            try:
                number = int.from_bytes(os.read(signals, _SIGNALFD_BYTES)[:4], "little")
            except BlockingIOError:
                return
            if number != signal.SIGWINCH:
                watched_over.deliver(number)
            elif console is not None:
                console.copy_size()
            if console is not None and number in ENDING:
                console.asked_to_end()

        reactor.watch(signals, READABLE, signalled)
        reactor.run(until=lambda: ending.status is not None)
        assert ending.status is not None
        return ending.status
    finally:
        if console is not None:
            console.close()
        if ending is not None:
            ending.close()
        reactor.close()
        if signals >= 0:
            os.close(signals)

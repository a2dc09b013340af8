"""What lives beside one sandbox in its monitor: the way out of its network, its published ports, its group of limits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from envgit.errors import SandboxError
from envgit.exec.launch import Sandbox
from envgit.exec.reactor import READABLE, Reactor
from envgit.exec.runner import Companions
from envgit.exec.spec import SandboxSpec
from envgit.light_typing import TYPE_CHECKING
from envgit.monitor import Monitor
from envgit.sandbox.request import RunRequest
from envgit.sandbox.state import is_alive

if TYPE_CHECKING:
    from envgit.exec.cgroups.kind import Group
    from envgit.exec.cgroups.limits import Limits
    from envgit.exec.network.on_demand import OnDemand
    from envgit.exec.network.veth import Veth
    from envgit.exec.ports.forwarder import Forwarder
    from envgit.exec.ports.publish import Bound
    from envgit.sandbox.networking import Way

_FORWARDER_PAUSE_SECONDS = 0.2
_FORWARDER_RETRY_SECONDS = 1.0
_ENDING_SECONDS = 1.0


class RunCompanions(Companions):
    """Puts together what a request needs beside its sandbox; `beside` is another such object, asked after this one.

    Ports are bound and the group made when this object is made, so that a start that cannot succeed has not begun; close()
    undoes everything, and is called at the end whatever happens.
    """

    def __init__(
        self,
        request: RunRequest,
        way: Way,
        exposed_ports: tuple[str, ...],
        id: str,
        beside: Companions | None,
        monitor: Monitor,
    ) -> None:
        self._monitor = monitor
        self._way = way
        self._beside = beside or Companions()
        self._on_demand: OnDemand | None = None
        self._veth: Veth | None = None
        self._forwarder: Forwarder | None = None
        self._sandbox: Sandbox | None = None
        self._reactor: Reactor | None = None
        self.bounds: tuple[Bound, ...] = ()
        self.group: Group | None = None
        self._limits: Limits | None = None
        self.takes_terminal = self._beside.takes_terminal
        try:
            self.bounds = bind_ports(request, exposed_ports)
            self.group, self._limits = make_group(request, id, monitor.warn)
            self._beside.furnished(self.bounds, self.group)
        except BaseException:
            self.close()
            raise

    def limit(self, spec: SandboxSpec) -> SandboxSpec:
        """Return the spec with the resource limits that stand in for limits no group enforces."""
        if self.group is None or not self.group.rlimits:
            return spec
        return spec._replace(rlimits=(*spec.rlimits, *self.group.rlimits))

    def created(self, pid: int) -> None:
        if self.group is not None:
            from envgit.exec.cgroups.limits import raise_hard_limits

            assert self._limits is not None
            self.group.add(pid)
            raise_hard_limits(pid, self._limits.ulimits)
        if self._way.network == "veth":
            from envgit.exec.network.veth import Veth

            with open("/proc/net/route", "rb", buffering=0) as routes:
                self._veth = Veth(pid, self._way.helpers[0].program, routes.read())
        self._beside.created(pid)

    def started(self, sandbox: Sandbox, reactor: Reactor) -> None:
        self._sandbox, self._reactor = sandbox, reactor
        try:
            if sandbox.route >= 0:
                reactor.watch(sandbox.route, READABLE, lambda events: self._connect(sandbox, reactor))
            if self.bounds:
                self._forward(reactor)
                self._announce_ports()
        except BaseException:
            if self.takes_terminal and sandbox.terminal >= 0:  # whoever would have taken it is not asked any more
                os.close(sandbox.terminal)
            raise
        self._beside.started(sandbox, reactor)

    def ended(self, status: int) -> None:
        if self.group is not None and self.group.oom_kills():
            from envgit.exec.cgroups.limits import format_size

            limit = self._limits.memory_bytes if self._limits is not None else None
            reached = f"the limit of {format_size(limit)} was reached" if limit else "a limit was reached"
            self._monitor.warn(f"out of memory: {reached}, and the kernel ended a program")
            self._beside.ran_out_of_memory()
        self._beside.ended(status)

    def close(self) -> None:
        """End helpers, let ports and group go; may be called twice."""
        if self._forwarder is not None:
            self._forwarder.stop()
        if self._on_demand is not None:
            self._on_demand.close()
        elif self._sandbox is not None and self._sandbox.route >= 0:
            assert self._reactor is not None
            self._reactor.unwatch(self._sandbox.route)
            os.close(self._sandbox.route)
        if self._veth is not None:
            self._veth.close()
        if self.bounds:
            from envgit.exec.ports.binding import close

            close(self.bounds)
        if self.group is not None:
            self.group.kill()
            self.group.remove()
        self._forwarder = self._on_demand = self._veth = self.group = self._sandbox = None
        self.bounds = ()

    def _announce_ports(self) -> None:
        """Print what is published: a free port is known only now."""
        from envgit.exec.ports.publish import format_bounds

        self._monitor.note(f"published {format_bounds(self.bounds)}")

    def _connect(self, sandbox: Sandbox, reactor: Reactor) -> None:
        """A packet waits for the way out. Loaded only now: most programs never send one."""
        from envgit.exec.network.on_demand import OnDemand

        self._on_demand = OnDemand(
            reactor, sandbox.route, sandbox.pid, self._way.subnet, self._way.helpers, self._monitor.warn
        )

    def _forward(self, reactor: Reactor) -> None:
        """Start the forwarder, and start it again when it is killed: the sockets are held here."""
        from envgit.exec.network.liveness import is_running
        from envgit.exec.ports.forwarder import start_forwarder

        assert self._sandbox is not None
        address = self._way.subnet.address
        if self._veth is not None:
            from envgit.exec.network.veth import addresses_of

            address = addresses_of(self._veth.slot).address
        try:
            self._forwarder = start_forwarder(self._sandbox.pid, self._sandbox.start_time, self.bounds, address)
        except SandboxError:
            deadline = time.monotonic() + _ENDING_SECONDS
            while is_running(self._sandbox.pid):  # an ending process loses its namespaces first
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            return  # the program has ended already: its status is what counts
        self._watch_forwarder(reactor)

    def _watch_forwarder(self, reactor: Reactor) -> None:
        forwarder = self._forwarder
        assert forwarder is not None
        watched = forwarder.fileno()

        warned = False

        def restart() -> None:
            nonlocal warned
            try:
                forwarder.restart()
            except (SandboxError, OSError) as error:
                if self._sandbox is None or not is_alive(self._sandbox.pid, self._sandbox.start_time):
                    return  # the sandbox has ended as well
                if not warned:
                    self._monitor.warn(f"published ports are not served, trying again: {error}")
                warned = True
                reactor.after(_FORWARDER_RETRY_SECONDS, restart)
                return
            self._watch_forwarder(reactor)

        def ended(events: int) -> None:
            reactor.unwatch(watched)
            reactor.after(_FORWARDER_PAUSE_SECONDS, restart)

        reactor.watch(watched, READABLE, ended)


def bind_ports(request: RunRequest, exposed: tuple[str, ...]) -> tuple[Bound, ...]:
    """Bind what -p and -P ask for; raises UsageError and SandboxError, before anything is started."""
    if not (request.publish or request.publish_all):
        return ()
    from envgit.errors import UsageError
    from envgit.exec.ports.binding import bind
    from envgit.exec.ports.publish import expose, parse_publish

    wishes = tuple(wish for text in request.publish for wish in parse_publish(text))
    if request.network == "none":
        raise UsageError("-p needs a network", hint="leave --network none out: private networks can publish ports")
    if request.publish_all:
        wishes += expose(exposed, wishes)
    return bind(wishes)


def make_group(request: RunRequest, id: str, warn: Callable[[str], None]) -> tuple[Group | None, Limits | None]:
    """Make the group that limits need, and return it with them; None without limits. What is not enforced is said."""
    if not (any(request.limits) or request.detach):
        return None, None
    from envgit.exec.cgroups.group import create_group
    from envgit.exec.cgroups.limits import make_limits

    limits = make_limits(*request.limits)

    group = create_group(id, limits, want_stats=request.detach)
    for notice in group.notices:
        warn(notice)
    return group, limits

"""The least that has a private network: a process in own user, pid and network namespaces, and a monitor's loop beside it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from envgit.exec import linux
from envgit.exec.handoff import Handoff
from envgit.exec.network.carrier import Helper
from envgit.exec.network.link import ROUTE_SOCKET, MakeTap, RaiseLoopback
from envgit.exec.network.on_demand import OnDemand
from envgit.exec.network.subnet import Subnet
from envgit.exec.network.veth import SetUpVeth, Veth
from envgit.exec.reactor import READABLE, Reactor

Operation = MakeTap | SetUpVeth | RaiseLoopback
RANGE_START = 200_000
"""Where root's sandboxes have their ids: nothing of this machine belongs to them."""
DEADLINE_SECONDS = 30


class Sandboxed:
    """Runs `program` inside; what it returns (bytes) is `result`. The program may `wait_for_go()` in between."""

    def __init__(
        self,
        program: Callable[[Sandboxed], bytes],
        *,
        helpers: tuple[Helper, ...] = (),
        subnet: Subnet | None = None,
        network: Literal["tap", "veth", "none", "host"] = "tap",
        reactor: Reactor | None = None,
    ) -> None:
        self.warnings: list[str] = []
        self.result = b""
        self.done = False
        self.reactor = reactor or Reactor()
        self.network: OnDemand | None = None
        self.setup_seconds = 0.0
        self._go_read, self._go_write = os.pipe()
        result_read, result_write = os.pipe()
        handoff = Handoff()
        subnet = subnet or Subnet()
        operations: dict[str, Operation] = {
            "tap": MakeTap(subnet, handoff.send),
            "veth": SetUpVeth(),
            "none": RaiseLoopback(),
        }
        operation = operations.get(network)
        own_network = 0 if network == "host" else linux.CLONE_NEWNET
        self.pid = linux.clone_process(linux.CLONE_NEWUSER | linux.CLONE_NEWPID | own_network)
        if self.pid == 0:
            os.close(result_read)
            self._inside(program, operation, result_write)
        os.close(result_write)
        self._map_ids()
        self.veth: Veth | None = None
        if network == "veth":
            try:
                self.veth = Veth(self.pid, helpers[0].program, Path("/proc/net/route").read_bytes())
            except BaseException:
                self.close()
                raise
        os.write(self._go_write, b"x")
        first = os.read(result_read, 4096)  # "ready", or why not
        if not first.startswith(b"ready "):
            os.waitpid(self.pid, 0)
            raise AssertionError(first.decode(errors="replace"))
        self.setup_seconds = float(first.split()[1])
        if network == "tap":
            route = handoff.receive()[ROUTE_SOCKET]
            self.network = OnDemand(self.reactor, route, self.pid, subnet, helpers, self.warnings.append)
        handoff.close()
        self._result_read = result_read
        self.reactor.watch(result_read, READABLE, self._take)

    def go(self) -> None:
        os.write(self._go_write, b"x")

    def wait_for_go(self) -> bytes:
        """In the program: wait until the test calls go()."""
        return os.read(self._go_read, 1)

    def until(self, condition: Callable[[], object]) -> None:
        """Let the monitor work until something holds; fail after DEADLINE_SECONDS."""
        end = time.monotonic() + DEADLINE_SECONDS

        def tick() -> None:
            self.reactor.after(0.01, tick)

        tick()
        self.reactor.run(lambda: bool(condition()) or time.monotonic() > end)
        assert condition(), f"not within {DEADLINE_SECONDS} s; warnings: {self.warnings}"

    def finish(self) -> bytes:
        """Start the program, work until it has ended, take everything down; return its result."""
        self.go()
        self.until(lambda: self.done)
        self.close()
        return self.result

    def close(self) -> None:
        if self.network is not None:
            self.network.close()
        if self.veth is not None:
            self.veth.close()
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def forget(self) -> None:
        """Close every descriptor of the test's own."""
        for fd in (self._go_read, self._go_write, self._result_read):
            os.close(fd)
        self.reactor.close()

    def _take(self, events: int) -> None:
        piece = os.read(self._result_read, 65536)
        self.result += piece
        if not piece:
            self.reactor.unwatch(self._result_read)
            self.done = True

    def _inside(self, program: Callable[[Sandboxed], bytes], operation: Operation | None, out: int) -> None:
        try:
            os.read(self._go_read, 1)
            started = time.perf_counter()
            if operation is not None:
                operation.open(None)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            if operation is not None:
                operation.execute(None)
            took = time.perf_counter() - started
            linux.prctl(linux.PR_SET_DUMPABLE, 1)  # as execve does
            os.write(out, b"ready %.6f" % took)
            self.wait_for_go()
            os.write(out, program(self))
        except BaseException as error:
            os.write(out, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)

    def _map_ids(self) -> None:
        user, group = os.geteuid(), os.getegid()
        if user:
            _write(self.pid, "setgroups", "deny")
            _write(self.pid, "uid_map", f"0 {user} 1")
            _write(self.pid, "gid_map", f"0 {group} 1")
        else:
            _write(self.pid, "uid_map", f"0 {RANGE_START} 65536")
            _write(self.pid, "gid_map", f"0 {RANGE_START} 65536")


def _write(pid: int, name: str, text: str) -> None:
    with open(f"/proc/{pid}/{name}", "w") as file:
        file.write(text)

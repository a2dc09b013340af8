"""Processes that wait, as a sandbox's PID 1 does, until they are in their group; groups that are gone after the test."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from envgit.exec import linux
from envgit.exec.cgroups.group import Group, create_group
from envgit.exec.cgroups.limits import Limits
from envgit.exec.idmap import choose_idmap, wait_status, write_maps

Start = Callable[..., "Held"]


class Held:
    """A child that waits for `release`, then becomes a program."""

    def __init__(
        self, argv: tuple[str, ...], rlimits: tuple[tuple[int, int, int], ...], namespace: bool, stdout: int | None
    ) -> None:
        go_read, self._go = os.pipe()
        self.pid = linux.clone_process(linux.CLONE_NEWUSER if namespace else 0)
        if self.pid == 0:
            try:
                os.close(self._go)
                if os.read(go_read, 1):
                    if stdout is not None:
                        os.dup2(stdout, 1)
                    for number, soft, hard in rlimits:
                        resource.setrlimit(number, (soft, hard))
                    os.execvp(argv[0], argv)
            finally:
                os._exit(125)
        os.close(go_read)
        if namespace:
            write_maps(self.pid, choose_idmap())
        self.ended = False

    def release(self) -> None:
        os.write(self._go, b"x")
        os.close(self._go)
        self._go = -1

    def wait(self) -> int:
        signal.alarm(60)
        try:
            return wait_status(self.pid)
        finally:
            signal.alarm(0)
            self.ended = True

    def run(self) -> int:
        self.release()
        return self.wait()

    def close(self) -> None:
        if self._go >= 0:
            os.close(self._go)
        if not self.ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function: (argv..., rlimits=, namespace=, stdout=) -> Held."""
    made: list[Held] = []

    def begin(
        *argv: str,
        rlimits: tuple[tuple[int, int, int], ...] = (),
        namespace: bool = False,
        stdout: int | None = None,
    ) -> Held:
        made.append(Held(argv, rlimits, namespace, stdout))
        return made[-1]

    yield begin
    for held in made:
        held.close()


@pytest.fixture
def make_group() -> Iterator[Callable[..., Group]]:
    """Return a function: (limits, want_stats=False) -> Group, one that is removed after the test."""
    made: list[Group] = []

    def make(limits: Limits, *, want_stats: bool = False) -> Group:
        made.append(create_group(f"test-{os.getpid()}-{len(made)}", limits, want_stats=want_stats))
        return made[-1]

    yield make
    for group in made:
        group.kill()
        assert group.remove()


ALLOCATE = (
    sys.executable,
    "-S",
    "-c",
    "import sys; held = bytearray(b'x' * (int(sys.argv[1]) << 20)); print(len(held))",
)
"""Add the number of megabytes to hold."""

SPIN = (
    *(sys.executable, "-S", "-c"),
    "import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass\nprint(time.process_time())",
)
"""Be busy for a second of wall-clock time and print the processor's time of it."""

FORK = (
    *(sys.executable, "-S", "-c"),
    """
import os, time
made = 0
try:
    for _ in range(60):
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        made += 1
except OSError:
    pass
print(made, flush=True)
time.sleep(30)
""",
)
"""Fork sixty processes that stay, or as many as there may be; print how many."""

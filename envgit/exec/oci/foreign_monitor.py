"""The monitor of another runtime's container: finds its first process, passes signals on, waits."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress

from envgit.exec import linux
from envgit.exec.process import deliver, exit_status, start_time

_LOOK_MILLISECONDS = 10
_SIGNALFD_BYTES = 128


def attend(pid: int, watched: set[int], on_started: Callable[[int, int], None] | None) -> int:
    """Wait for the runtime `pid` and return its program's status; signals (blocked by the caller) go to the first process.

    What ends the program because the kernel would have ignored it gives 128+N, as in the built-in runner.
    """
    pidfd = os.pidfd_open(pid)
    signals = linux.signalfd(watched)
    waiter = select.poll()
    waiter.register(pidfd, select.POLLIN)
    waiter.register(signals, select.POLLIN)
    first = 0
    killed_by = 0
    waiting: list[int] = []
    try:
        while True:
            ready = dict(waiter.poll(None if first else _LOOK_MILLISECONDS))
            if pidfd in ready:
                status = exit_status(os.waitpid(pid, 0)[1])
                return 128 + killed_by if killed_by else status
            if signals in ready:
                number = int.from_bytes(os.read(signals, _SIGNALFD_BYTES)[:4], "little")
                if number != signal.SIGCHLD:
                    waiting.append(number)
            if not first:
                first = find_first_process(pid)
                if first and on_started is not None:
                    on_started(first, start_time(first))
            while first and waiting:
                number = waiting.pop(0)
                with suppress(ProcessLookupError):
                    if deliver(first, number):
                        killed_by = number
    finally:
        os.close(signals)
        os.close(pidfd)


def find_first_process(runtime: int) -> int:
    """Return the pid of the container that `runtime` started, 0 when its program does not run yet.

    It is the descendant that is number 1 in a pid namespace one deeper than the runtime's, and has become another program.
    """
    depth = len(_numbers(runtime))
    todo = _children(runtime)
    while todo:
        pid = todo.pop()
        numbers = _numbers(pid)
        if len(numbers) == depth + 1 and numbers[-1] == b"1":
            return pid if _is_program(pid, runtime) else 0
        todo += _children(pid)
    return 0


def _is_program(pid: int, runtime: int) -> bool:
    """Return whether a process is past execve: it comes from its own root, or no longer has a name of the runtime's, whose
    first processes are called as the runtime is, or `runc:[2:INIT]`."""
    try:
        if os.stat(f"/proc/{pid}/exe").st_dev == os.stat(f"/proc/{pid}/root").st_dev != os.stat("/").st_dev:
            return True
    except OSError:
        pass
    name = _name(pid)
    return name != "" and not name.startswith(_name(runtime))


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", "rb") as file:
            return os.fsdecode(file.read().rstrip(b"\n"))
    except OSError:
        return ""


def _numbers(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"NSpid:"):
                    return line.split()[1:]
    except OSError:
        pass
    return []


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        pass
    return found

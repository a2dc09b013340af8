"""A program of the host whose life is bound to its starter's: it is told to end when the starter is gone, whatever ended that."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Mapping, Sequence

from envgit.exec import linux
from envgit.exec.process import PYTHON_IGNORES, exit_status
from envgit.light_typing import NoReturn

_GRACE_SECONDS = 2.0
_MOST_PROCESSES = 4096
_TICK = 0.01


def start_bound(
    program: str,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    *,
    files: tuple[int, int, int],
    limits: Mapping[int, int],
) -> int:
    """Start a program with `files` as its standard streams and `limits` (RLIMIT_* to a number); return its pid.

    It gets SIGTERM when the calling thread ends. Nothing else is inherited. Raises OSError when it cannot be executed.
    """
    starter = os.getpid()
    told, report = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _become(program, arguments, variables, files, limits, starter, report)
    finally:
        os.close(report)
    with os.fdopen(told, "rb") as file:
        failed = file.read()
    if failed:
        os.waitpid(pid, 0)
        raise OSError(int(failed), os.strerror(int(failed)), program)
    return pid


def _become(
    program: str,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    files: tuple[int, int, int],
    limits: Mapping[int, int],
    starter: int,
    report: int,
) -> NoReturn:
    number = 1
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != starter:
            os._exit(1)
        for kind, most in limits.items():
            hard = resource.getrlimit(kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))
        high = [os.dup(fd) for fd in files]  # none of them is in the way of another
        for number, fd in enumerate(high):
            os.dup2(fd, number)
        linux.close_range(3, linux.LAST_FD, linux.CLOSE_RANGE_CLOEXEC)
        for ignored in PYTHON_IGNORES:
            signal.signal(ignored, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(program, list(arguments), dict(variables))
    except OSError as error:
        number = error.errno or 1
    finally:
        os.write(report, b"%d" % number)
        os._exit(127)


def end_bound(pid: int) -> int:
    """End a program that start_bound() started, and everything that it started; return its status as a shell counts it.

    It has two seconds to clean up after SIGTERM. Its own programs are looked up before: those that outlive it are killed.
    """
    below = [(each, _pidfd(each)) for each in processes_below(pid)]
    try:
        _signal(pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline:
            done, raw = os.waitpid(pid, os.WNOHANG)
            if done:
                return exit_status(raw)
            time.sleep(_TICK)
        _signal(pid, signal.SIGKILL)
        return exit_status(os.waitpid(pid, 0)[1])
    finally:
        for _, handle in below:
            if handle >= 0:
                _kill_handle(handle)
                os.close(handle)


def processes_below(pid: int) -> list[int]:
    """Return the processes that a process started and that are still its children, and theirs (proc(5), task/TID/children)."""
    found: list[int] = []
    queue = [pid]
    while queue and len(found) < _MOST_PROCESSES:
        each = queue.pop()
        try:
            with open(f"/proc/{each}/task/{each}/children", "rb", buffering=0) as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            continue
        found += children
        queue += children
    return found


def work_done(pid: int) -> int:
    """Return a number that grows whenever the program or one that it started computes, reads or writes."""
    total = 0
    for each in (pid, *processes_below(pid)):
        try:
            with open(f"/proc/{each}/stat", "rb", buffering=0) as file:
                fields = file.read().rpartition(b")")[2].split()
            total += int(fields[11]) + int(fields[12])
            with open(f"/proc/{each}/io", "rb", buffering=0) as file:
                counted = file.read().split()
            total += int(counted[1]) + int(counted[3])
        except (OSError, IndexError, ValueError):
            continue
    return total


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _kill_handle(handle: int) -> None:
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return

"""Processes of sandboxes as the host sees them: who they are, how they end, how signals reach PID 1."""

from __future__ import annotations

import os
import signal

FORWARDED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
    signal.SIGCONT,
)  # fmt: skip
"""What a monitor passes on to the program."""

ENDING = frozenset((signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM))
"""Those of them that ask for an end."""

PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
"""What the interpreter ignores, and no program that it starts should."""

_HARMLESS_BY_DEFAULT = frozenset(
    (signal.SIGCONT, signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
)  # fmt: skip


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot (proc(5), stat field 22); 0 when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def exit_status(raw: int) -> int:
    """Return what waitpid(2) said the way a shell counts: 0 to 255, 128+N when killed by signal N."""
    code = os.waitstatus_to_exitcode(raw)
    return 128 - code if code < 0 else code


def deliver(pid: int, number: int) -> bool:
    """Pass a signal on to PID 1 of a sandbox; return whether it was killed instead.

    The kernel withholds signals with a default action from PID 1, so a program that does not handle ^C could not be
    interrupted: its default action is carried out here. Raises ProcessLookupError when it is gone.
    """
    if number not in _HARMLESS_BY_DEFAULT and not _handles(pid, number):
        os.kill(pid, signal.SIGKILL)
        return True
    os.kill(pid, number)
    return False


def end(pid: int) -> None:
    """Kill PID 1, and with it everything in the sandbox, and wait until it is gone. It must be a child of this process."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def _handles(pid: int, number: int) -> bool:
    """Return whether the process catches or ignores a signal."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            lines = file.read().splitlines()
    except OSError:
        return False
    masks = [int(line.split()[1], 16) for line in lines if line.startswith((b"SigCgt:", b"SigIgn:"))]
    return any(mask >> (number - 1) & 1 for mask in masks)

"""A process that kills a sandbox when its monitor vanishes.

PDEATHSIG does the same, but the kernel clears it when a program changes its own ids (setpriv, gosu, a server that starts as root).
The guard holds two pidfds and nothing else, so no inherited descriptor can keep it from noticing. It is a copy of the monitor and
shares its memory, copy-on-write.
"""

from __future__ import annotations

import os
import select
import signal

from envgit.exec import linux
from envgit.exec.child import close_all_but


def start_guard(pid: int) -> int:
    """Start the guard of a sandbox's first process, a child of the caller; return the guard's pid, a child as well.

    It ends when that process or the caller does.
    """
    monitor = os.pidfd_open(os.getpid())
    try:
        first = os.pidfd_open(pid)
    except OSError:
        os.close(monitor)
        raise
    try:
        guard = os.fork()
        if guard == 0:
            _watch(monitor, first)
        return guard
    finally:
        os.close(monitor)
        os.close(first)


def _watch(monitor: int, first: int) -> None:
    try:
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        os.chdir("/")
        close_all_but((monitor, first))
        ready = select.poll()
        ready.register(monitor, select.POLLIN)
        ready.register(first, select.POLLIN)
        if first not in dict(ready.poll()):
            signal.pidfd_send_signal(first, signal.SIGKILL)
    finally:
        os._exit(0)

"""A process that outlives its caller: own session, nothing of the caller's open, standard streams on /dev/null."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable

from envgit.exec.child import close_all_but
from envgit.exec.process import FORWARDED


def start_background(work: Callable[[], None], *, keep: tuple[int, ...], folder: str) -> None:
    """Run `work` in a process that is nobody's child and has only the descriptors `keep`, with `folder` to work in.

    The signals that monitors pass on are blocked there: the runner takes them from a descriptor. `work` reports its own
    errors; whatever it raises ends the process with status 125.
    """
    between = os.fork()
    if between == 0:
        status = 125
        try:
            os.setsid()
            if os.fork() == 0:  # no leader of a session: it can never acquire a terminal
                _settle(keep, folder)
                work()
            status = 0
        finally:
            os._exit(status)
    os.waitpid(between, 0)


def _settle(keep: tuple[int, ...], folder: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {*FORWARDED, signal.SIGWINCH})
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    close_all_but((0, 1, 2, *keep))
    os.chdir(folder)
    gc.collect()
    gc.freeze()  # what the caller had made stays: its descriptors are closed, and nobody else may close them again
    gc.enable()

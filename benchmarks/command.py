"""Commands: what is timed, and how."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Argv = Sequence[str]


class CommandFailed(Exception):
    """A command ended with a status other than 0 (or the other expected ones). `reason`: what it said, without paths."""

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason


class Timing(NamedTuple):
    """One execution: seconds of wall clock, largest resident set of any of its processes, its standard output."""

    seconds: float
    peak_bytes: int
    output: bytes


def run(
    argv: Argv, environ: Mapping[str, str], scratch: str, *, folder: str = "/", statuses: Sequence[int] = (0,)
) -> Timing:
    """Execute a whole command by posix_spawn, in `folder`, and wait for it.

    Standard output and error go to files in `scratch`. `peak_bytes` is wait4(2)'s ru_maxrss, which covers the process
    and every descendant that was waited for. Raises CommandFailed with what the command said.
    """
    output, error = os.path.join(scratch, "stdout"), os.path.join(scratch, "stderr")
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, writing, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, error, writing, 0o600),
    ]
    program = _find(argv[0], environ)
    os.chdir(folder)
    began = time.perf_counter()
    pid = os.posix_spawn(program, list(argv), dict(environ), file_actions=actions)
    try:
        _, status, usage = os.wait4(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    seconds = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    with open(output, "rb") as file:
        said = file.read()
    if code not in statuses:
        with open(error, "rb") as file:
            why = (file.read() or said).decode("utf-8", "replace").strip().splitlines()
        said_last = f"status {code}: {' / '.join(why[-3:])}"
        raise CommandFailed(f"{' '.join(argv)}: {said_last}", said_last.replace(scratch, "SCRATCH"))
    return Timing(seconds, usage.ru_maxrss * 1024, said)


def _find(program: str, environ: Mapping[str, str]) -> str:
    if "/" in program:
        return program
    for folder in environ["PATH"].split(":"):
        path = os.path.join(folder, program)
        if os.access(path, os.X_OK):
            return path
    raise CommandFailed(f"{program}: not installed")

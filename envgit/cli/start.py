"""The entry point `envgit`: the fast lane where it leads, click for everything else."""

from __future__ import annotations

import gc
import os
import sys

from .session import Session

COMPLETION_VARIABLE = "_ENVGIT_COMPLETE"


def main() -> None:
    """Run the command and end the process.

    Most commands live for milliseconds: cycles are never worth collecting, and the interpreter's orderly end (13 ms after
    click) frees what the kernel frees anyway. Everything is flushed before.
    """
    gc.disable()
    _open_closed_descriptors()
    session = Session()
    try:
        status = _complete(session) if session.environ.get(COMPLETION_VARIABLE) else _run(sys.argv[1:], session)
    except KeyboardInterrupt as error:  # while modules were loading
        status = session.fail(error)
    leave(status)


def _open_closed_descriptors() -> None:
    """Give what the caller closed of descriptors 0, 1, 2 to /dev/null: else the next file opened, of the repository for
    instance, would become standard output."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, "r" if fd == 0 else "w", closefd=False))  # noqa: SIM115


def _run(arguments: list[str], session: Session) -> int:
    from .fast_lane import run_fast

    status = run_fast(arguments, session)
    if status is not None:
        return status
    from .main import run

    return run(arguments, session)


def _complete(session: Session) -> int:
    from click.shell_completion import shell_complete

    from .main import cli

    return shell_complete(cli, {}, "envgit", COMPLETION_VARIABLE, session.environ[COMPLETION_VARIABLE])


def leave(status: int) -> None:
    """End the process at once; what was printed is flushed before."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        status = status or 1
    os._exit(status)

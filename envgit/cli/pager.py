"""The pager, chosen and started as git does."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import BinaryIO


def choose_pager(environ: Mapping[str, str]) -> str | None:
    """Return the pager's command line: GIT_PAGER, PAGER or less; None when it is empty, or just `cat`."""
    for name in ("GIT_PAGER", "PAGER"):
        if name in environ:
            chosen = environ[name].strip()
            return chosen if chosen not in ("", "cat") else None
    return "less"


@contextmanager
def open_pager(environ: Mapping[str, str]) -> Iterator[BinaryIO | None]:
    """Yield the pager's standard input, or None when there is no pager; wait for it to end.

    A pager that was left early ends the block silently. An interrupt stops the writing, not the pager.
    """
    command = choose_pager(environ)
    if command is None:
        yield None
        return
    variables = {"LESS": "FRX", "LV": "-c", **environ}
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, reading, 0), (os.POSIX_SPAWN_CLOSE, reading), (os.POSIX_SPAWN_CLOSE, writing)]
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", command], variables, file_actions=actions)
    os.close(reading)
    stream = open(writing, "wb")  # noqa: SIM115 (closed below, whatever happens)
    try:
        yield stream
        stream.flush()
    except BrokenPipeError:
        pass
    finally:
        _close(stream)
        _wait(pid)


def _close(stream: BinaryIO) -> None:
    with suppress(BrokenPipeError):
        stream.close()


def _wait(pid: int) -> None:
    while True:
        try:
            os.waitpid(pid, 0)
            return
        except KeyboardInterrupt:
            continue
        except ChildProcessError:
            return

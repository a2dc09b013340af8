"""One run of git to its end: what it prints is bounded, how long it may be silent as well, and nothing of it outlives us."""

from __future__ import annotations

import os
import resource
import select
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from envgit.exec.bound_program import end_bound, start_bound, work_done
from envgit.exec.process import exit_status
from envgit.monitor import Monitor
from envgit.transfer.errors import ProtocolViolation, Stalled, TransferError
from envgit.transfer.git_progress import GitTalk

MOST_OUTPUT_BYTES: Final = 256 * 1024 * 1024
"""Of standard output: the refs of a repository. A million of them take a quarter of it."""

_LOOK_SECONDS: Final = 0.5
_PIECE: Final = 65536
_MOST_MEMORY: Final = 8 * 1024**3
_MOST_CPU_SECONDS: Final = 4 * 3600
_SPARED: Final = 10
"""A tenth of what is free stays free, whatever a server sends."""


class GitDone(NamedTuple):
    """`lines` and `messages`: what git and what the server said (git_progress.GitTalk)."""

    status: int
    out: bytes
    lines: tuple[str, ...]
    messages: tuple[str, ...]


def receiving_limits(folder: str) -> dict[int, int]:
    """Return the limits of a git that writes what a stranger sends into `folder`."""
    free = os.statvfs(folder)
    room = free.f_bavail * free.f_frsize
    return {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: _MOST_CPU_SECONDS,
        resource.RLIMIT_DATA: _MOST_MEMORY,
        resource.RLIMIT_FSIZE: max(room - room // _SPARED, 1),
    }


def sending_limits() -> dict[int, int]:
    """Return the limits of a git that sends what is ours."""
    return {resource.RLIMIT_CORE: 0}


def run_git(
    program: str,
    words: Sequence[str],
    variables: Mapping[str, str],
    monitor: Monitor,
    *,
    limits: Mapping[int, int],
    stdin: bytes = b"",
    silent_seconds: float,
    host: str = "",
    out_fd: int = -1,
) -> GitDone:
    """Run `git WORDS` and report its progress. `out_fd`: the file that gets standard output, instead of the result.

    `silent_seconds`: as long it may neither print nor work (compute, read, write); then Stalled. Whatever is raised here, an
    interrupt too, git and all that it started are gone then.
    """
    given = os.memfd_create("stdin")
    out, out_end = os.pipe()
    talk, talk_end = os.pipe()
    try:
        os.write(given, stdin)
        os.lseek(given, 0, os.SEEK_SET)
        pid = start_bound(
            program,
            ["git", *words],
            variables,
            files=(given, out_end if out_fd < 0 else out_fd, talk_end),
            limits=limits,
        )
    except OSError as error:
        os.close(out)
        os.close(talk)
        raise TransferError(
            f"cannot start {program}: {error.strerror}", hint="check your installation of git"
        ) from error
    finally:
        for fd in (given, out_end, talk_end):
            os.close(fd)
    spoken = GitTalk(monitor)
    ended = False
    try:
        printed = _listen(pid, out, talk, spoken, silent_seconds, host)
        status = exit_status(os.waitpid(pid, 0)[1])
        ended = True
    finally:
        if not ended:
            end_bound(pid)
        os.close(out)
        os.close(talk)
        spoken.finish()
    return GitDone(status, printed, tuple(spoken.lines), tuple(spoken.messages))


def _listen(pid: int, out: int, talk: int, spoken: GitTalk, silent_seconds: float, host: str) -> bytes:
    """Read both pipes until git ends; descendants that hold them open are not waited for."""
    handle = os.pidfd_open(pid)
    printed: list[bytes] = []
    size = 0
    ready = select.poll()
    for fd in (out, talk, handle):
        ready.register(fd, select.POLLIN)
    done = work_done(pid)
    alive = time.monotonic()
    try:
        while True:
            events = {fd for fd, _ in ready.poll(_LOOK_SECONDS * 1000)}
            if not events:
                worked, now = work_done(pid), time.monotonic()
                if worked != done:
                    done, alive = worked, now
                elif now - alive > silent_seconds:
                    raise _stalled(host, silent_seconds)
                continue
            if out in events:
                data = os.read(out, _PIECE)
                printed.append(data)
                size += len(data)
                if not data:
                    ready.unregister(out)
            if talk in events:
                data = os.read(talk, _PIECE)
                spoken.feed(data)
                if not data:
                    ready.unregister(talk)
            if size > MOST_OUTPUT_BYTES:
                raise ProtocolViolation(
                    f"{host or 'the other side'} lists more refs than any repository has", hint="check the address"
                )
            if events == {handle}:
                return b"".join(printed)
            alive = time.monotonic()
    finally:
        os.close(handle)


def _stalled(host: str, seconds: float) -> Stalled:
    return Stalled(
        f"{host or 'the other side'} was silent for {seconds:g} seconds; the connection was cut",
        hint="nothing was changed here; check your network, then run the command again",
    )

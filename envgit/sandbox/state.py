"""The small file per running sandbox that lets other commands find it: `sandboxes/ID/state`.

A sandbox is alive if the process with its pid has its start time; what is left of a dead one is removed by the next
command that looks.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

from envgit.light_typing import NamedTuple
from envgit.repo import Repository
from envgit.store import storage


class SandboxState(NamedTuple):
    """`pid` and `start_time` (clock ticks since boot) are those of the sandbox's first process on the host."""

    id: str
    pid: int
    start_time: int
    upper: str
    layers: tuple[str, ...]


def write_state(repo: Repository, state: SandboxState) -> None:
    """Record a sandbox that has just been set up. Not durable: it does not outlive the machine's boot."""
    folder = repo.path("sandboxes", state.id)
    storage.make_directory(folder, step="sandbox-folder", parents=True)
    text = f"pid {state.pid}\nstart {state.start_time}\nupper {state.upper}\nlayers {' '.join(state.layers)}\n"
    storage.write_file(f"{folder}/state", text.encode("ascii"), step="sandbox-state", durable=False)


def lock_starts(repo: Repository, *, exclusive: bool = False) -> int:
    """Return a descriptor that keeps gc and starting runs apart until it is closed or unlocked.

    Every run holds it shared from choosing its layers until its state is written; gc, exclusively, while it looks and removes.
    Whoever holds it must not wait for the repository's lock, which gc has.
    """
    folder = repo.path("sandboxes")
    storage.make_directory(folder, step="sandbox-folder", parents=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
    except BaseException:
        os.close(fd)
        raise
    return fd


def iter_states(repo: Repository) -> Iterator[tuple[SandboxState, bool]]:
    """Yield every recorded sandbox and whether it lives."""
    for id in _list_folders(repo):
        state = _read_state(repo, id)
        if state is not None:
            yield state, is_alive(state.pid, state.start_time)


def find_live(repo: Repository, upper: str) -> SandboxState | None:
    """Return a running sandbox that has the upper directory mounted."""
    return next((state for state, alive in iter_states(repo) if alive and state.upper == upper), None)


def is_alive(pid: int, start_time: int) -> bool:
    """Say whether a process runs and is the one that was started then (proc(5), /proc/pid/stat field 22)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return fields[0] not in (b"Z", b"X") and int(fields[19]) == start_time


def remove_state(repo: Repository, id: str) -> None:
    """Forget a sandbox that ended and has nothing else in its folder."""
    folder = repo.path("sandboxes", id)
    storage.unlink(f"{folder}/state", step="sandbox-state-remove")
    storage.remove_directory(folder, step="sandbox-folder-remove")


def _list_folders(repo: Repository) -> list[str]:
    try:
        return sorted(os.listdir(repo.path("sandboxes")))
    except FileNotFoundError:
        return []


def _read_state(repo: Repository, id: str) -> SandboxState | None:
    try:
        with open(repo.path("sandboxes", id, "state"), encoding="ascii") as file:
            fields = dict(line.rstrip("\n").split(" ", 1) for line in file)
        layers = tuple(fields["layers"].split())
        return SandboxState(id, int(fields["pid"]), int(fields["start"]), fields["upper"], layers)
    except (OSError, KeyError, ValueError):
        return None

"""The small file per running sandbox that lets other commands find it: `sandboxes/ID/state`.

A sandbox is alive if the process with its pid has its start time; what is left of a dead one is removed by the next
command that looks. One whose monitor is gone is ended by it: PR_SET_PDEATHSIG is lost when a program changes its own ids.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
from collections.abc import Iterator

from envgit.exec.process import start_time
from envgit.light_typing import NamedTuple
from envgit.repo import Repository
from envgit.store import storage

_END_MILLISECONDS = 10_000


class SandboxState(NamedTuple):
    """`pid` and `start_time` (clock ticks since boot) are those of the sandbox's first process on the host."""

    id: str
    pid: int
    start_time: int
    upper: str
    layers: tuple[str, ...]
    monitor: int = 0
    """The pid of its monitor; 0 in states that older versions wrote, and before write_state()."""
    monitor_start: int = 0
    boot: str = ""
    """What names the boot of the machine that the pids belong to."""


def write_state(repo: Repository, state: SandboxState) -> None:
    """Record a sandbox that has just been set up, with this process as its monitor.

    Not durable: it does not outlive the machine's boot.
    """
    folder = repo.path("sandboxes", state.id)
    storage.make_directory(folder, step="sandbox-folder", parents=True)
    own = os.getpid()
    text = (
        f"pid {state.pid}\nstart {state.start_time}\nupper {state.upper}\nlayers {' '.join(state.layers)}\n"
        f"monitor {own} {start_time(own)} {_boot_id()}\n"
    )
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
    """Yield every recorded sandbox and whether it lives; one that lives without its monitor is ended first."""
    boot = ""
    for id in _list_folders(repo):
        state = _read_state(repo, id)
        if state is None:
            continue
        alive = is_alive(state.pid, state.start_time)
        if alive and state.monitor and _is_gone(state.monitor, state.monitor_start):
            boot = boot or _boot_id()
            alive = state.boot != boot or not _end(state.pid, state.start_time)
        yield state, alive


def end_orphans(repo: Repository) -> None:
    """End every sandbox whose monitor was killed; costs one listing of a folder when there is none."""
    for _ in iter_states(repo):
        pass


def find_live(repo: Repository, upper: str) -> SandboxState | None:
    """Return a running sandbox that has the upper directory mounted."""
    found = [state for state, alive in iter_states(repo) if alive and state.upper == upper]  # all: orphans are ended
    return found[0] if found else None


def is_alive(pid: int, start_time: int) -> bool:
    """Say whether a process runs and is the one that was started then (proc(5), /proc/pid/stat field 22)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return False
    return fields[0] not in (b"Z", b"X") and int(fields[19]) == start_time


def wait_until_gone(state: SandboxState) -> bool:
    """Wait for the end of a sandbox that cannot be joined any more; say whether it came within ten seconds.

    A process that ends leaves its namespaces first; taking its mounts down may write a disk's worth before it is gone.
    """
    try:
        fd = os.pidfd_open(state.pid)
    except OSError:
        return not is_alive(state.pid, state.start_time)
    try:
        if is_alive(state.pid, state.start_time):
            ended = select.poll()
            ended.register(fd, select.POLLIN)
            return bool(ended.poll(_END_MILLISECONDS))
        return True
    finally:
        os.close(fd)


def remove_state(repo: Repository, id: str) -> None:
    """Forget a sandbox that ended and has nothing else in its folder."""
    folder = repo.path("sandboxes", id)
    storage.unlink(f"{folder}/state", step="sandbox-state-remove")
    storage.remove_directory(folder, step="sandbox-folder-remove")


def _is_gone(pid: int, started: int) -> bool:
    """Say whether a process is known to have ended: what /proc only hides (hidepid) is not."""
    try:
        with open(f"/proc/{pid}/stat", "rb"):
            return not is_alive(pid, started)
    except OSError:
        pass
    try:
        os.close(os.pidfd_open(pid))
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _end(pid: int, started: int) -> bool:
    """Kill exactly the process that was started then, and with it what is in its pid namespace; say whether it is gone."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return not is_alive(pid, started)
    try:
        if is_alive(pid, started):  # the second look: from here on the descriptor can mean no other process
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            ended = select.poll()
            ended.register(fd, select.POLLIN)
            return bool(ended.poll(_END_MILLISECONDS))
        return True
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        return False
    finally:
        os.close(fd)


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as file:
        return file.read().decode("ascii").strip()


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
        monitor, started, boot = fields.get("monitor", "0 0 ").split(" ")
        first = int(fields["pid"]), int(fields["start"])
        return SandboxState(id, *first, fields["upper"], layers, int(monitor), int(started), boot)
    except (OSError, KeyError, ValueError):
        return None

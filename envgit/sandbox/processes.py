"""The processes of a running sandbox, from the host's /proc: nothing inside is asked."""

from __future__ import annotations

import os
from typing import NamedTuple

from envgit.errors import Conflict
from envgit.repo import Repository
from envgit.sandbox.registry import Found, find_sandbox

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_NS = 1_000_000_000


class Process(NamedTuple):
    """`pid`, `parent` (0: outside) and `uid` as inside, `host_pid` as outside."""

    host_pid: int
    pid: int
    parent: int
    uid: int
    state: str
    started_ns: int
    """Since the machine booted."""
    cpu_ns: int
    resident_bytes: int
    command: tuple[bytes, ...]


def read_processes(repo: Repository, word: str) -> tuple[Process, ...]:
    """Return a running sandbox's processes by their pid inside. Raises UnknownSandbox, Conflict when it does not run."""
    found = find_sandbox(repo, word)
    if not found.runs:
        raise Conflict(f"{found.name} is not running", hint=f"envgit start {found.name}")
    return processes_of(found)


def processes_of(found: Found) -> tuple[Process, ...]:
    """Return the processes in the pid namespace of a sandbox's first process; () when it has just ended."""
    try:
        namespace = os.readlink(f"/proc/{found.status.pid}/ns/pid")
        uids = _read_map(f"/proc/{found.status.pid}/uid_map")
    except OSError:
        return ()
    found_ones = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/ns/pid") == namespace:
                    found_ones.append(_read_process(int(name), uids))
            except (OSError, ValueError, IndexError, KeyError):  # it ended meanwhile, or is another user's
                continue
    inside = {process.host_pid: process.pid for process in found_ones}
    return tuple(
        sorted(
            (process._replace(parent=inside.get(process.parent, 0)) for process in found_ones),
            key=lambda process: process.pid,
        )
    )


def _read_process(pid: int, uids: list[tuple[int, int, int]]) -> Process:
    with open(f"/proc/{pid}/status", "rb") as file:
        fields = dict(line.rstrip(b"\n").split(b":", 1) for line in file)
    with open(f"/proc/{pid}/stat", "rb") as file:
        head, _, tail = file.read().rpartition(b")")
    stat = tail.split()
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().rstrip(b"\0").split(b"\0")
    name = head.partition(b"(")[2]
    return Process(
        host_pid=pid,
        pid=int(fields[b"NSpid"].split()[-1]),
        parent=int(stat[1]),
        uid=_inside(int(fields[b"Uid"].split()[1]), uids),
        state=stat[0].decode("ascii"),
        started_ns=int(stat[19]) * _NS // _CLOCK_TICKS,
        cpu_ns=(int(stat[11]) + int(stat[12])) * _NS // _CLOCK_TICKS,
        resident_bytes=int(stat[21]) * _PAGE_BYTES,
        command=tuple(words) if words != [b""] else (b"[" + name + b"]",),
    )


def _read_map(path: str) -> list[tuple[int, int, int]]:
    with open(path, "rb") as file:
        return [(int(inside), int(outside), int(size)) for inside, outside, size in (line.split() for line in file)]


def _inside(outside_id: int, extents: list[tuple[int, int, int]]) -> int:
    for inside, outside, size in extents:
        if outside <= outside_id < outside + size:
            return inside + outside_id - outside
    return 65534

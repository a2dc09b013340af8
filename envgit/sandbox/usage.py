"""What running sandboxes use: from their control group where they have one, else summed over their processes."""

from __future__ import annotations

import time
from typing import Literal, NamedTuple

from envgit.exec.cgroups.group import find_group
from envgit.repo import Repository
from envgit.sandbox.processes import processes_of
from envgit.sandbox.registry import Found, list_sandboxes


class Sample(NamedTuple):
    """One look. `source`: "cgroup" counts everything since the start; "processes" sums those that live, so memory that they share
    is counted for each and the time of those that ended is missing. None: not known from there."""

    id: str
    name: str
    source: Literal["cgroup", "processes"]
    moment_ns: int
    """Of the monotonic clock."""
    cpu_ns: int
    memory_bytes: int
    memory_limit_bytes: int | None
    pids: int
    read_bytes: int | None
    written_bytes: int | None


def sample(found: Found) -> Sample:
    """Look at one sandbox."""
    now = time.monotonic_ns()
    group = find_group(found.status.group) if found.status.group else None
    usage = group.stats() if group is not None else None
    if usage is not None and usage.cpu_ns is not None and usage.memory_bytes is not None:
        return Sample(
            found.id,
            found.name,
            "cgroup",
            now,
            usage.cpu_ns,
            usage.memory_bytes,
            usage.memory_limit_bytes,
            usage.pids or 0,
            usage.read_bytes,
            usage.written_bytes,
        )
    processes = processes_of(found)
    cpu_ns = sum(process.cpu_ns for process in processes)
    memory_bytes = sum(process.resident_bytes for process in processes)
    return Sample(found.id, found.name, "processes", now, cpu_ns, memory_bytes, None, len(processes), None, None)


def sample_all(repo: Repository, ids: frozenset[str] | None = None) -> tuple[Sample, ...]:
    """Look at every running sandbox, or at those of `ids` that run."""
    return tuple(sample(found) for found in list_sandboxes(repo) if found.runs and (ids is None or found.id in ids))


def cpu_percent(before: Sample | None, after: Sample) -> float:
    """Return the share of one processor between two looks at a sandbox, as docker counts: two busy ones are 200."""
    if before is None or after.moment_ns <= before.moment_ns:
        return 0.0
    return max(0.0, 100.0 * (after.cpu_ns - before.cpu_ns) / (after.moment_ns - before.moment_ns))

"""What every kind of group can do, and the kind that is none: resource limits of each process alone."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import NamedTuple

from envgit.exec.cgroups import tree

REMOVE_SECONDS = 2.0
_KILL_SECONDS = 10.0


class Usage(NamedTuple):
    """What a sandbox uses; None where this kind of group does not count it."""

    memory_bytes: int | None = None
    """Without cache that can be dropped at once, as `docker stats` counts."""
    memory_peak_bytes: int | None = None
    """The highest so far, cache included."""
    memory_limit_bytes: int | None = None
    cpu_ns: int | None = None
    pids: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None


class Group:
    """A sandbox's group. This base class has none: nothing to add to, nothing to count, nothing to remove.

    `record` reopens it in another process (find_group); `notices` says which limits are not enforced, or how; `rlimits`
    are to be set by the child besides SandboxSpec.rlimits; `refused` maps a controller to why its limit was not set.
    """

    way = "rlimits"

    def __init__(self, record: tuple[str, ...] = ()) -> None:
        self.record = record
        self.notices: tuple[str, ...] = ()
        self.rlimits: tuple[tuple[int, int, int], ...] = ()
        self.refused: dict[str, str] = {}

    def add(self, pid: int) -> None:
        """Put a process in, before its program starts, so that all it starts is in too. Raises SandboxError."""

    def processes(self) -> tuple[int, ...]:
        """Return the pids inside, as this process's pid namespace numbers them."""
        return ()

    def freeze(self) -> bool:
        """Stop every process inside where it is; False when this kind of group cannot."""
        return False

    def thaw(self) -> None:
        """Undo freeze."""

    def kill(self) -> None:
        """Kill every process inside with SIGKILL, also while they fork, and wait until none is left.

        Zombies stay for whoever has to reap them. This implementation stops everything, signals it and lets it go to die.
        """

        def empty() -> bool:
            for pid in self.processes():
                if pid:
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
            self.thaw()
            return not self.processes()

        if self.processes():
            self.freeze()
            tree.wait_until(empty, _KILL_SECONDS)

    def stats(self) -> Usage | None:
        """Return what is used now; None when nothing is counted or the group is gone."""
        return None

    def oom_kills(self) -> int:
        """Return how many processes were killed because the memory limit was reached. Ask before remove."""
        return 0

    def remove(self) -> bool:
        """Remove the group; False when processes are still inside: the next create_group beside it removes it then."""
        return True

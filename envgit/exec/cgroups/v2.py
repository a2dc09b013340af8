"""A group of version 2, made directly: below a group that is delegated to us.

A group that hands controllers to its children may hold no process itself (the no-internal-process rule; only the real
root is exempt). So the sandbox's group is never made below one with strangers in it; a monitor that is alone in its group
moves to a leaf beside.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from envgit.errors import SandboxError
from envgit.exec.cgroups import tree
from envgit.exec.cgroups.hierarchy import Place, booted_with_systemd
from envgit.exec.cgroups.kind import REMOVE_SECONDS, Group, Usage
from envgit.exec.cgroups.limits import CPU_PERIOD_US, Limits

CONTROLLERS = frozenset({"memory", "cpu", "pids"})
LEAF = "envgit.monitor"
_KILL_SECONDS = 10.0
_FREEZE_SECONDS = 2.0


class Parent(NamedTuple):
    """Where groups can be made, and the controllers they get."""

    path: str
    controllers: frozenset[str]


class GroupV2(Group):
    """`path` is its folder."""

    way = "v2"

    def __init__(self, path: str, locks: tuple[int, ...] = ()) -> None:
        super().__init__((f"{self.way}:{path}",))
        self.path = path
        self._locks = locks

    def add(self, pid: int) -> None:
        try:
            tree.write(f"{self.path}/cgroup.procs", str(pid))
        except OSError as error:
            raise SandboxError(f"{self.path} does not take the sandbox's process: {error.strerror}") from error

    def processes(self) -> tuple[int, ...]:
        return tree.processes(self.path)

    def freeze(self) -> bool:
        with suppress(OSError):
            tree.write(f"{self.path}/cgroup.freeze", "1")
            events = f"{self.path}/cgroup.events"
            return tree.wait_until(lambda: tree.fields(events).get("frozen") == 1, _FREEZE_SECONDS)
        return False

    def thaw(self) -> None:
        with suppress(OSError):
            tree.write(f"{self.path}/cgroup.freeze", "0")

    def kill(self) -> None:
        try:
            tree.write(f"{self.path}/cgroup.kill", "1")  # Linux 5.14; reaches groups below too, and frozen processes
        except OSError:
            super().kill()
            return
        tree.wait_until(lambda: not self.processes(), _KILL_SECONDS)

    def stats(self) -> Usage | None:
        if not tree.exists(self.path):
            return None
        used = tree.number(f"{self.path}/memory.current")
        cache = tree.fields(f"{self.path}/memory.stat").get("inactive_file", 0)
        usage_us = tree.fields(f"{self.path}/cpu.stat").get("usage_usec")
        return Usage(
            None if used is None else max(used - cache, 0),
            tree.number(f"{self.path}/memory.peak"),
            tree.number(f"{self.path}/memory.max"),
            None if usage_us is None else usage_us * 1000,
            tree.number(f"{self.path}/pids.current"),
            *self._transferred(),
        )

    def oom_kills(self) -> int:
        return tree.fields(f"{self.path}/memory.events").get("oom_kill", 0)

    def remove(self) -> bool:
        gone = tree.wait_until(lambda: tree.remove(self.path), REMOVE_SECONDS)
        while self._locks:
            os.close(self._locks[-1])
            self._locks = self._locks[:-1]
        return gone

    def set_limits(self, limits: Limits) -> None:
        """Write the limits; what the kernel refuses goes to `refused`."""
        if limits.memory_bytes is not None and self._set("memory", "max", str(limits.memory_bytes)):
            self._set_swap(limits)
        if limits.cpu_quota_us is not None:
            self._set("cpu", "max", f"{limits.cpu_quota_us} {CPU_PERIOD_US}")
        if limits.pids is not None:
            self._set("pids", "max", str(limits.pids))

    def _set(self, controller: str, name: str, value: str) -> bool:
        try:
            tree.write(f"{self.path}/{controller}.{name}", value)
        except FileNotFoundError:
            self.refused[controller] = f"the {controller} controller is not delegated to this user"
        except OSError as error:
            self.refused[controller] = f"{controller}.{name}: {error.strerror}"
        return controller not in self.refused

    def _set_swap(self, limits: Limits) -> None:
        assert limits.memory_bytes is not None
        total = limits.total_bytes
        if total is None:
            return
        try:
            tree.write(f"{self.path}/memory.swap.max", str(total - limits.memory_bytes))
        except FileNotFoundError:
            self.notices += ("--memory-swap is not enforced: the kernel does not count swap",)
        except OSError as error:
            self.notices += (f"--memory-swap is not enforced: {error.strerror}",)

    def _transferred(self) -> tuple[int | None, int | None]:
        """Return bytes read and written on all devices: `MAJOR:MINOR rbytes=N wbytes=N ...` a line."""
        try:
            words = tree.read(f"{self.path}/io.stat").split()
        except OSError:
            return None, None
        read, written = (
            sum(int(word.removeprefix(key)) for word in words if word.startswith(key)) for key in ("rbytes=", "wbytes=")
        )
        return read, written


def find_parent(own: Place, wanted: frozenset[str]) -> Parent | None:
    """Return the best place for groups with the `wanted` controllers; None when no group can be made.

    Looks at this process's own group, then at the one above. Changes what has to be changed: controllers are enabled for
    children, and this process moves to a leaf when it is alone in its group. Under systemd only what carries its mark
    of delegation is touched: every other group has its one writer.
    """
    above = os.path.dirname(own.path)
    if own.path == own.mount_point:
        candidates = [own.path]
    elif os.path.basename(own.path) == LEAF:
        candidates = [above]
    else:
        candidates = [own.path, above]
    if booted_with_systemd():
        candidates = [path for path in candidates if is_delegated(path)]
    best: Parent | None = None
    for path in candidates:
        if not (tree.writable(path) and tree.writable(f"{path}/cgroup.procs")):
            continue
        enabled = _enable(path, wanted | CONTROLLERS)  # the others count, at least
        if enabled is not None and (best is None or len(enabled & wanted) > len(best.controllers & wanted)):
            best = Parent(path, enabled)
        if best is not None and wanted <= best.controllers:
            break
    return best


def is_delegated(path: str) -> bool:
    """Return whether systemd marked a group as handed over (`Delegate=yes`); the mark can be read since version 251."""
    for name in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            if os.getxattr(path, name) == b"1":
                return True
    return False


def create_v2(name: str, limits: Limits, parent: Parent) -> GroupV2:
    """Make a group below `parent`. Raises SandboxError; leaves nothing behind then."""
    tree.sweep(parent.path)
    path = f"{parent.path}/{tree.PREFIX}{name}"
    try:
        group = GroupV2(path, (tree.make(path),))
    except OSError as error:
        raise SandboxError(f"cannot make a control group: {path}: {error.strerror}") from error
    group.set_limits(limits)
    return group


def _enable(path: str, wanted: frozenset[str]) -> frozenset[str] | None:
    """Enable controllers for the children of `path`; return those they have, None when it cannot be read."""
    try:
        available = frozenset(tree.read(f"{path}/cgroup.controllers").split())
        missing = (wanted & available) - _enabled(path)
        if missing and not _enable_each(path, missing) and tree.processes(path) == (os.getpid(),):
            _move_to_leaf(path)
            _enable_each(path, missing)
        return _enabled(path)
    except OSError:
        return None


def _enabled(path: str) -> frozenset[str]:
    return frozenset(tree.read(f"{path}/cgroup.subtree_control").split())


def _enable_each(path: str, controllers: frozenset[str]) -> bool:
    """One at a time: several in one write succeed or fail together."""
    done = True
    for name in sorted(controllers):
        try:
            tree.write(f"{path}/cgroup.subtree_control", f"+{name}")
        except OSError:
            done = False
    return done


def _move_to_leaf(path: str) -> None:
    leaf = f"{path}/{LEAF}"
    tree.ensure(leaf)
    tree.write(f"{leaf}/cgroup.procs", str(os.getpid()))

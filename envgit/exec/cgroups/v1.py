"""Groups of version 1: one folder in each hierarchy, below this process's own group there. In practice for root only."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from envgit.errors import SandboxError
from envgit.exec.cgroups import tree
from envgit.exec.cgroups.hierarchy import Place
from envgit.exec.cgroups.kind import REMOVE_SECONDS, Group, Usage
from envgit.exec.cgroups.limits import CPU_PERIOD_US, Limits

_FREEZE_SECONDS = 2.0
_UNLIMITED_BYTES = 1 << 62
"""What the kernel shows for no limit is close below 2**63, rounded down to its page size."""


class GroupV1(Group):
    """`folders` maps a controller to its folder; controllers that are mounted together share one."""

    way = "v1"

    def __init__(self, folders: dict[str, str], locks: tuple[int, ...] = ()) -> None:
        super().__init__(tuple(f"v1:{name}:{path}" for name, path in folders.items()))
        self._folders = folders
        self._locks = locks

    def add(self, pid: int) -> None:
        for path in dict.fromkeys(self._folders.values()):
            try:
                tree.write(f"{path}/cgroup.procs", str(pid))
            except OSError as error:
                raise SandboxError(f"{path} does not take the sandbox's process: {error.strerror}") from error

    def processes(self) -> tuple[int, ...]:
        found: dict[int, None] = {}
        for path in self._folders.values():
            found.update(dict.fromkeys(tree.processes(path)))
        return tuple(found)

    def freeze(self) -> bool:
        return self._set_freezer("FROZEN")

    def thaw(self) -> None:
        self._set_freezer("THAWED")

    def stats(self) -> Usage | None:
        if not any(tree.exists(path) for path in self._folders.values()):
            return None
        memory, cpu, pids = (self._folders.get(name, "") for name in ("memory", "cpuacct", "pids"))
        used = tree.number(f"{memory}/memory.usage_in_bytes")
        limit = tree.number(f"{memory}/memory.limit_in_bytes")
        cache = tree.fields(f"{memory}/memory.stat").get("total_inactive_file", 0)
        return Usage(
            None if used is None else max(used - cache, 0),
            tree.number(f"{memory}/memory.max_usage_in_bytes"),
            None if limit is None or limit >= _UNLIMITED_BYTES else limit,
            tree.number(f"{cpu}/cpuacct.usage"),
            tree.number(f"{pids}/pids.current"),
            *self._transferred(),
        )

    def oom_kills(self) -> int:
        return tree.fields(f"{self._folders.get('memory', '')}/memory.oom_control").get("oom_kill", 0)

    def remove(self) -> bool:
        paths = tuple(dict.fromkeys(self._folders.values()))
        gone = tree.wait_until(lambda: False not in [tree.remove(path) for path in paths], REMOVE_SECONDS)
        while self._locks:
            os.close(self._locks[-1])
            self._locks = self._locks[:-1]
        return gone

    def set_limits(self, limits: Limits) -> None:
        """Write the limits; what the kernel refuses goes to `refused`."""
        memory, cpu, pids = (self._folders.get(name) for name in ("memory", "cpu", "pids"))
        if memory and limits.memory_bytes is not None and self._set("memory", "limit_in_bytes", limits.memory_bytes):
            self._set_swap(memory, limits)
        if cpu and limits.cpu_quota_us is not None and self._set("cpu", "cfs_period_us", CPU_PERIOD_US):
            self._set("cpu", "cfs_quota_us", limits.cpu_quota_us)
        if pids and limits.pids is not None:
            self._set("pids", "max", limits.pids)

    def _set(self, controller: str, name: str, value: int) -> bool:
        try:
            tree.write(f"{self._folders[controller]}/{controller}.{name}", str(value))
        except OSError as error:
            self.refused[controller] = f"{controller}.{name}: {error.strerror}"
            return False
        return True

    def _set_swap(self, memory: str, limits: Limits) -> None:
        total = limits.total_bytes
        if total is None:
            return
        try:
            tree.write(f"{memory}/memory.memsw.limit_in_bytes", str(total))
        except OSError as error:
            reason = "the kernel does not count swap" if error.errno == errno.ENOENT else error.strerror
            self.notices += (f"--memory-swap is not enforced: {reason}",)

    def _set_freezer(self, state: str) -> bool:
        folder = self._folders.get("freezer")
        if folder is None:
            return False
        with suppress(OSError):
            tree.write(f"{folder}/freezer.state", state)
            return tree.wait_until(lambda: tree.read(f"{folder}/freezer.state") == state, _FREEZE_SECONDS)
        return False

    def _transferred(self) -> tuple[int | None, int | None]:
        try:
            lines = tree.read(f"{self._folders['blkio']}/blkio.throttle.io_service_bytes_recursive").splitlines()
        except (OSError, KeyError):
            return None, None
        words = [line.split() for line in lines]
        read, written = (
            sum(int(line[2]) for line in words if len(line) == 3 and line[1] == kind) for kind in ("Read", "Write")
        )
        return read, written


def usable_controllers(places: dict[str, Place]) -> frozenset[str]:
    """Return the controllers in whose hierarchies this process can make groups."""
    return frozenset(name for name, place in places.items() if tree.writable(place.path))


def create_v1(name: str, limits: Limits, places: dict[str, Place]) -> GroupV1:
    """Make a group in every hierarchy that can be written. Raises SandboxError; leaves nothing behind then."""
    usable = usable_controllers(places)
    folders: dict[str, str] = {}
    locks: list[int] = []
    try:
        for controller in places:
            if controller in usable:
                path = f"{places[controller].path}/{tree.PREFIX}{name}"
                if path not in folders.values():
                    tree.sweep(places[controller].path)
                    locks.append(tree.make(path))
                folders[controller] = path
    except OSError as error:
        GroupV1(folders, tuple(locks)).remove()
        raise SandboxError(f"cannot make a control group: {error.filename}: {error.strerror}") from error
    group = GroupV1(folders, tuple(locks))
    group.set_limits(limits)
    return group

"""A group that systemd makes and removes: a transient scope of the user's manager, or of the system's for root.

systemd owns the tree of version 2 groups on its machines; a program asks it over the bus (org.freedesktop.systemd1.Manager,
StartTransientUnit) for a scope around given processes. `busctl` does the asking: no bus library is loaded.

systemd removes a scope with its last process, and with it the count of killed processes. So a holder is in there too: a
process that waits for the end of a pipe that only the monitor holds; the scope goes when both are gone.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.cgroups import tree
from envgit.exec.cgroups.hierarchy import Hierarchies, booted_with_systemd, own_unified_path
from envgit.exec.cgroups.kind import REMOVE_SECONDS
from envgit.exec.cgroups.limits import CPU_PERIOD_US, Limits
from envgit.exec.cgroups.v2 import GroupV2
from envgit.exec.idmap import find_helper, wait_status
from envgit.exec.process import PYTHON_IGNORES

MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
RUNTIME_FOLDER = "/run/user"
NO_LIMIT = 2**64 - 1
_START_SECONDS = 5.0
_ANSWER_BYTES = 4096


class Manager:
    """A systemd manager that answers: `mount_point` of the tree, `group` it works in, `controllers` it can give."""

    def __init__(self, busctl: str, mount_point: str, group: str, controllers: frozenset[str]) -> None:
        self.busctl = busctl
        self.mount_point = mount_point
        self.group = group
        self.controllers = controllers


class OpenScope(GroupV2):
    """A scope that is there, by its folder: found again, or made by Scope.

    systemd removes it after its last process; removing the folder here as well does no harm.
    """

    way = "scope"

    def add(self, pid: int) -> None:
        """Write the process into the group; where the kernel refuses, as for one from a session that root owns, ask systemd."""
        try:
            tree.write(f"{self.path}/cgroup.procs", str(pid))
        except PermissionError:
            busctl = find_helper("busctl")
            if busctl is None:
                raise SandboxError("busctl is missing", hint="sudo apt install systemd") from None
            unit = os.path.basename(self.path)
            call(busctl, "call", *MANAGER, "AttachProcessesToUnit", "ssau", unit, "/", "1", str(pid))
        except OSError as error:
            raise SandboxError(f"{self.path} does not take the sandbox's process: {error.strerror}") from error


class Scope(OpenScope):
    """A scope to be made: it exists from add on, because one without a process is refused."""

    def __init__(self, name: str, limits: Limits, manager: Manager) -> None:
        super().__init__("")
        self.record = ()
        self.unit = f"{tree.PREFIX}{name}.scope"
        self._limits = limits
        self._manager = manager
        self._holder: tuple[int, int] | None = None

    def add(self, pid: int) -> None:
        """Ask for the scope around `pid`; later processes are written into its group."""
        if self.path:
            super().add(pid)
            return
        self._holder = _start_holder()
        try:
            call(self._manager.busctl, "call", *MANAGER, *self.words((pid, self._holder[0])))
            arrived = tree.wait_until(lambda: (own_unified_path(pid) or "").endswith(f"/{self.unit}"), _START_SECONDS)
            found = own_unified_path(pid)
            if not arrived or found is None:
                raise SandboxError(f"systemd did not put the sandbox into {self.unit}", hint="envgit doctor")
        except BaseException:
            self._end_holder()
            raise
        self.path = f"{self._manager.mount_point.rstrip('/')}{found}"
        self.record = (f"{self.way}:{self.path}",)

    def processes(self) -> tuple[int, ...]:
        holder = self._holder[0] if self._holder else None
        return tuple(pid for pid in super().processes() if pid != holder) if self.path else ()

    def kill(self) -> None:
        """Kill all but the holder, which keeps the counts; without cgroup.kill, which would take that too."""
        super(GroupV2, self).kill()

    def freeze(self) -> bool:
        """Freezing would stop the holder as well, which does not mind."""
        return bool(self.path) and super().freeze()

    def remove(self) -> bool:
        """Let the holder go and wait until systemd has removed the scope."""
        self._end_holder()
        return not self.path or tree.wait_until(lambda: not tree.exists(self.path), REMOVE_SECONDS)

    def words(self, pids: tuple[int, ...]) -> list[str]:
        """Return method, signature and arguments in the spelling of busctl(1)."""
        properties = [
            ("Description", "s", "a sandbox of envgit"),
            ("PIDs", "au", str(len(pids)), *map(str, pids)),
            ("Delegate", "b", "true"),
            ("CollectMode", "s", "inactive-or-failed"),
        ]
        for name in ("Memory", "CPU", "Tasks"):
            properties.append((f"{name}Accounting", "b", "true"))
        limits = self._limits
        if limits.memory_bytes is not None:
            total = limits.total_bytes
            swap = NO_LIMIT if total is None else total - limits.memory_bytes
            properties += [("MemoryMax", "t", str(limits.memory_bytes)), ("MemorySwapMax", "t", str(swap))]
        if limits.cpu_quota_us is not None:
            per_second = limits.cpu_quota_us * 10**6 // CPU_PERIOD_US
            properties.append(("CPUQuotaPerSecUSec", "t", str(per_second)))
        if limits.pids is not None:
            properties.append(("TasksMax", "t", str(limits.pids + 1)))  # the holder
        flat = [word for words in properties for word in words]
        return ["StartTransientUnit", "ssa(sv)a(sa(sv))", self.unit, "fail", str(len(properties)), *flat, "0"]

    def _end_holder(self) -> None:
        if self._holder is not None:
            pid, pipe = self._holder
            self._holder = None
            os.close(pipe)
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)  # it may be frozen on its way out; a kill reaches it
                os.waitpid(pid, 0)


def find_manager(here: Hierarchies) -> Manager | None:
    """Return the manager that makes scopes for this user; None where version 2 or systemd or its bus is not there."""
    busctl = find_helper("busctl")
    if busctl is None or here.unified is None or not booted_with_systemd():
        return None
    uid = os.geteuid()
    if uid and not os.path.exists(f"{RUNTIME_FOLDER}/{uid}/bus"):
        return None
    try:
        answer = call(busctl, "get-property", *MANAGER, "ControlGroup")
        group = answer.partition(" ")[2].strip('"')
        point = here.unified.mount_point
        controllers = frozenset(tree.read(f"{point}{group}/cgroup.controllers").split())
    except (SandboxError, OSError):
        return None
    return Manager(busctl, point, group, controllers)


def call(busctl: str, *words: str) -> str:
    """Run busctl on the bus of this user (root: of the system); return its answer. Raises SandboxError with its complaint."""
    uid = os.geteuid()
    runtime = f"{RUNTIME_FOLDER}/{uid}"
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    if uid:
        environment |= {"XDG_RUNTIME_DIR": runtime, "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus"}
    arguments = [busctl, "--user" if uid else "--system", f"--timeout={int(_START_SECONDS)}", *words]
    answer_read, answer_write = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, answer_write, 1),
        (os.POSIX_SPAWN_DUP2, answer_write, 2),
    ]
    try:
        pid = os.posix_spawn(
            busctl, arguments, environment, file_actions=actions, setsigmask=(), setsigdef=PYTHON_IGNORES
        )
        os.close(answer_write)
        answer_write = -1
        text = b""
        while piece := os.read(answer_read, _ANSWER_BYTES):
            text += piece
        status = wait_status(pid)
    except OSError as error:
        raise SandboxError(f"{busctl}: {error.strerror}") from error
    finally:
        os.close(answer_read)
        if answer_write >= 0:
            os.close(answer_write)
    said = text.decode("utf-8", "replace").strip()
    if status:
        reason = said.splitlines()[-1] if said else f"status {status}"
        raise SandboxError(f"systemd refused a scope for the sandbox: {reason}", hint="envgit doctor")
    return said


def _start_holder() -> tuple[int, int]:
    """Start a process that ends when the returned pipe is closed, here or by this process's death."""
    wait_read, wait_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(wait_read, 0)
            linux.close_range(1, linux.LAST_FD)
            os.read(0, 1)
        finally:
            os._exit(0)
    os.close(wait_read)
    return pid, wait_write

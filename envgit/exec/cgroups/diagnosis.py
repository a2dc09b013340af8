"""Which way limits will be enforced for this caller, found out by doing it. For `envgit doctor`."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.cgroups import scope, tree
from envgit.exec.cgroups.group import create_group
from envgit.exec.cgroups.hierarchy import Hierarchies, booted_with_systemd, read_hierarchies
from envgit.exec.cgroups.limits import NANO, Limits
from envgit.exec.idmap import find_helper

WAYS = {
    "v2": "control groups version 2, delegated to this process",
    "scope": "a scope of systemd (control groups version 2)",
    "v1": "control groups version 1",
    "rlimits": "resource limits of each process only",
}
DELEGATE = (
    "sudo mkdir -p /etc/systemd/system/user@.service.d && "
    "printf '[Service]\\nDelegate=cpu io memory pids\\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && "
    "sudo systemctl daemon-reload, then log in again"
)


class Diagnosis(NamedTuple):
    """`ok`: every limit is enforced for the sandbox as a whole; else `fix` is the command that helps, or empty."""

    ok: bool
    detail: str
    fix: str


def diagnose_limits() -> Diagnosis:
    """Put a process into a group with every kind of limit, and remove it again."""
    limits = Limits(memory_bytes=1 << 30, nano_cpus=NANO, pids=1000)
    hold_read, hold_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(hold_read, 0)
            linux.close_range(1, linux.LAST_FD)
            os.read(0, 1)
        finally:
            os._exit(0)
    os.close(hold_read)
    try:
        group = create_group(f"doctor-{pid}", limits)
        try:
            group.add(pid)
        finally:
            os.close(hold_write)
            hold_write = -1
            os.waitpid(pid, 0)
            group.remove()
    except SandboxError as error:
        return Diagnosis(False, error.message, choose_fix(read_hierarchies(), frozenset()))
    finally:
        if hold_write >= 0:
            os.close(hold_write)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
    detail = f"enforced by {WAYS[group.way]}"
    if not group.notices:
        return Diagnosis(True, f"{detail}: memory, cpus, pids", "")
    said = "; ".join(notice.removesuffix("; see envgit doctor") for notice in group.notices)
    missing = limits.controllers if group.way == "rlimits" else frozenset(group.refused)
    return Diagnosis(False, f"{detail}; {said}", choose_fix(read_hierarchies(), missing))


def choose_fix(here: Hierarchies, missing: frozenset[str]) -> str:
    """Return the command that gives this caller the `missing` controllers; "" when there is none to type."""
    root = os.geteuid() == 0
    if not booted_with_systemd():
        if not root:
            return "sudo envgit run ..."
        if here.unified is not None and tree.writable(f"{here.unified.path}/cgroup.procs"):
            path = here.unified.path  # in a container: strangers in the group that should hand controllers on
            return f"mkdir -p {path}/init && xargs -rn1 < {path}/cgroup.procs > {path}/init/cgroup.procs"
        return ""
    if here.v1:
        return "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
    if find_helper("busctl") is None:
        return "sudo apt install systemd dbus"
    if root:
        return ""
    if not os.path.exists(f"{scope.RUNTIME_FOLDER}/{os.geteuid()}/bus"):
        return "sudo apt install dbus-user-session && sudo loginctl enable-linger $(id -un)"
    return DELEGATE if missing else "systemctl --user status"

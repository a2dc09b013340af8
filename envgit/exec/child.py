"""The sandbox side: from the first instruction after clone to the root being in place; program.py does the rest.

Runs in a copy of the monitor's process, so every module it needs is loaded; nothing may be imported, decoded by a
new codec or looked up in the name service once pivot_root has happened: it would come from the environment.
Failures travel back as bytes through a pipe that a successful execve closes.
"""

from __future__ import annotations

import os

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.handoff import TERMINAL, Handoff
from envgit.exec.mount.place import Place
from envgit.exec.mount.plan import Operation
from envgit.exec.privileges import become_namespace_root
from envgit.exec.program import Gate, become_program, find_identity, maps_groups
from envgit.exec.spec import Inside, LiveRoot, SandboxSpec
from envgit.exec.terminal import open_terminal
from envgit.light_typing import NamedTuple, NoReturn


class ChildPlan(NamedTuple):
    """What the child inherits. Descriptors: `go` is readable when ids are mapped, `failure` takes the report."""

    spec: SandboxSpec
    operations: list[Operation]
    network: list[Operation]
    """What is done in the own network namespace; for a LiveRoot opened before the root's mount namespace is entered."""
    go: int
    failure: int
    handoff: Handoff
    keep: tuple[int, ...]
    stdio: tuple[int, int, int]
    outlives: bool = False
    """The program does not die with the monitor."""
    gate: int = -1
    """Where such a program waits for a byte before execve; -1: nowhere."""


def run_child(plan: ChildPlan) -> NoReturn:
    """Build the sandbox around this process and become its program; never returns."""
    step = ["start"]
    try:
        _take_stdio(plan)
        gate = (plan.gate,) if plan.gate >= 0 else ()
        close_all_but((0, 1, 2, plan.go, plan.failure, plan.handoff.child_end, *gate, *plan.keep))
        if os.read(plan.go, 1):  # nothing read: the monitor died or gave up
            if isinstance(plan.spec.root, Inside):
                _enter_running(plan, step)
            else:
                _build(plan, step)
    except SandboxError as error:
        report_failure(plan.failure, error)
    except OSError as error:
        report_failure(plan.failure, SandboxError(f"{step[0]}: {os.fsdecode(error.filename or '')} {error.strerror}"))
    except BaseException as error:
        report_failure(plan.failure, SandboxError(f"{step[0]}: {type(error).__name__}: {error}"))
    finally:
        os._exit(125)


def close_all_but(keep: tuple[int, ...]) -> None:
    """Close every descriptor that is not in `keep`."""
    first = 0
    for fd in sorted(set(keep)):
        linux.close_range(first, fd - 1) if fd > first else None
        first = fd + 1
    linux.close_range(first, linux.LAST_FD)


def report_failure(fd: int, error: SandboxError) -> None:
    """Write an error for `parse_failure` of the monitor."""
    parts = (error.code, error.message, error.hint or "")
    os.write(fd, b"\0".join(part.encode("utf-8", "surrogateescape") for part in parts))


def _take_stdio(plan: ChildPlan) -> None:
    """Make the given descriptors 0, 1 and 2; all are copied up first, so that none overwrites another."""
    if plan.stdio != (0, 1, 2):
        copies = [os.dup(fd) for fd in plan.stdio]
        while any(fd < 3 for fd in copies):
            copies = [os.dup(fd) if fd < 3 else fd for fd in copies]
        for number, fd in enumerate(copies):
            os.dup2(fd, number)


def _build(plan: ChildPlan, step: list[str]) -> NoReturn:
    spec = plan.spec
    os.umask(0o022)
    place = Place()
    step[0] = "private mounts"
    linux.mount_propagation_private()
    for operation in plan.operations:
        step[0] = operation.describe()
        operation.open(place)
    if not isinstance(spec.root, LiveRoot):
        for operation in plan.network:
            step[0] = operation.describe()
            operation.open(place)
    step[0] = "root of the user namespace"
    become_namespace_root(maps_groups(spec))
    step[0] = "cgroup namespace"
    linux.unshare(linux.CLONE_NEWCGROUP)  # not at the clone: its root is the group that limits put the process into
    for operation in plan.operations:
        step[0] = operation.describe()
        operation.execute(place)
    for name, fd in place.handed_over:
        plan.handoff.send(name, fd)
        os.close(fd)
    for operation in plan.network:
        step[0] = operation.describe()
        operation.execute(place)
    step[0] = "user"
    identity = find_identity(spec, place.root_fd)
    step[0] = "hostname"
    if not any(each.kind == "uts" for each in spec.joined):
        linux.sethostname(spec.hostname)
    step[0] = "terminal"
    os.setsid()
    if spec.terminal:
        _make_terminal(plan, place.devpts_fd)
    step[0] = "pivot_root"
    _pivot(place.root_fd)
    _check_mounts(place.proc_fd)
    become_program(spec, identity, plan.go, step, _gate(plan))


def _enter_running(plan: ChildPlan, step: list[str]) -> NoReturn:
    """Continue in namespaces that exist; the working directory is their root, and nothing of the host is open."""
    spec = plan.spec
    os.umask(0o022)
    step[0] = "root of the user namespace"
    become_namespace_root(maps_groups(spec))
    step[0] = "user"
    root_fd = os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    identity = find_identity(spec, root_fd)
    step[0] = "terminal"
    os.setsid()
    if spec.terminal:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        _make_terminal(plan, os.open(b"/dev/pts", flags))
    become_program(spec, identity, plan.go, step, _gate(plan))


def _gate(plan: ChildPlan) -> Gate | None:
    return Gate(plan.gate, plan.failure) if plan.outlives else None


def _make_terminal(plan: ChildPlan, devpts_fd: int) -> None:
    master = open_terminal(devpts_fd)
    plan.handoff.send(TERMINAL, master)
    os.close(master)


def _pivot(root_fd: int) -> None:
    """Make the new root the only mount tree this process can see."""
    os.fchdir(root_fd)
    linux.pivot_root_here()
    linux.umount_detach(b".")
    os.chdir(b"/")
    if not os.path.samestat(os.stat(b"/"), os.fstat(root_fd)):
        raise SandboxError("the new root is not /")


def _check_mounts(proc_fd: int) -> None:
    """Make sure that nothing of the host's mount tree is left: one mount is at `/`, and it is the root of all others."""
    fd = os.open(b"self/mountinfo", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    with open(fd, "rb") as file:
        mounts = [line.split(b" ", 5) for line in file]
    roots = {fields[0] for fields in mounts if fields[4] == b"/"}
    known = {fields[0] for fields in mounts}
    if len(roots) != 1 or any(fields[1] not in known and fields[0] not in roots for fields in mounts):
        raise SandboxError("mounts of the host are left in the sandbox")

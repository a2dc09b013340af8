"""The sandbox side: from the first instruction after clone to execve.

Runs in a copy of the monitor's process, so every module it needs is loaded; nothing may be imported, decoded by a
new codec or looked up in the name service once pivot_root has happened: it would come from the environment.
Failures travel back as bytes through a pipe that a successful execve closes.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, NoReturn

from envgit.errors import ProgramNotExecutable, ProgramNotFound, SandboxError
from envgit.exec import linux
from envgit.exec.identity import Identity, resolve_identity
from envgit.exec.mounts import Operation
from envgit.exec.place import Place
from envgit.exec.privileges import become_namespace_root, drop_privileges, harden_process
from envgit.exec.resolve import read_inside
from envgit.exec.spec import SandboxSpec, capability_mask

DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAXIMUM_GROUPS = 65536

execve = os.execve
"""The last call; tests replace it to look at the process the program would become."""


class ChildPlan(NamedTuple):
    """What the child inherits. Descriptors: `go` is readable when ids are mapped, `failure` takes the report."""

    spec: SandboxSpec
    operations: list[Operation]
    go: int
    failure: int
    keep: tuple[int, ...]
    open_console: Callable[[int], None] | None
    """Given the devpts root: make a terminal, send it to the monitor, make it this session's and descriptors 0 to 2."""


def run_child(plan: ChildPlan) -> NoReturn:
    """Build the sandbox around this process and become its program; never returns."""
    step = ["start"]
    try:
        close_all_but((0, 1, 2, plan.go, plan.failure, *plan.keep))
        if os.read(plan.go, 1):  # nothing read: the monitor died or gave up
            _become_program(plan, step)
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


def _become_program(plan: ChildPlan, step: list[str]) -> NoReturn:
    spec = plan.spec
    groups_allowed = sum(extent.size for extent in spec.idmap.gids) > 1
    os.umask(0o022)
    place = Place()
    step[0] = "private mounts"
    linux.mount_propagation_private()
    for operation in plan.operations:
        step[0] = operation.describe()
        operation.open(place)
    step[0] = "root of the user namespace"
    become_namespace_root(groups_allowed)
    for operation in plan.operations:
        step[0] = operation.describe()
        operation.execute(place)
    step[0] = "user"
    identity = resolve_identity(
        spec.user, read_inside(place.root_fd, b"/etc/passwd"), read_inside(place.root_fd, b"/etc/group")
    )
    identity = identity._replace(groups=mapped_groups(identity.groups, spec))
    step[0] = "hostname"
    linux.sethostname(spec.hostname)
    step[0] = "terminal"
    os.setsid()
    if plan.open_console is not None:
        plan.open_console(place.devpts_fd)
    step[0] = "pivot_root"
    _pivot(place.root_fd)
    step[0] = "session keyring"
    _leave_keyring()
    for number, soft, hard in spec.rlimits:
        step[0] = f"resource limit {number}"
        resource.setrlimit(number, (soft, hard))
    _enter_directory(spec.cwd)
    step[0] = "privileges"
    drop_privileges(identity, capability_mask(spec.capabilities), groups_allowed, spec.no_new_privileges)
    environment = dict(spec.env)
    environment.setdefault(b"HOME", identity.home)
    _reset_signals()
    step[0] = "descriptors"
    linux.close_range(3, linux.LAST_FD, linux.CLOSE_RANGE_CLOEXEC)
    harden_process()
    os.set_blocking(plan.go, False)
    try:
        os.read(plan.go, 1)
        os._exit(125)  # end of file: the monitor died before PDEATHSIG was armed
    except BlockingIOError:
        pass
    _execute(spec.argv, environment, identity)


def mapped_groups(groups: tuple[int, ...], spec: SandboxSpec) -> tuple[int, ...]:
    """Return the supplementary groups that this sandbox's id map has, no more than the kernel takes: /etc/group is hostile
    input, and a group that nothing inside can belong to is no reason to refuse the program."""
    known = [
        group
        for group in groups
        if any(extent.inside <= group < extent.inside + extent.size for extent in spec.idmap.gids)
    ]
    return tuple(known[:MAXIMUM_GROUPS])


def _pivot(root_fd: int) -> None:
    """Make the new root the only mount tree this process can see."""
    os.fchdir(root_fd)
    linux.pivot_root_here()
    linux.umount_detach(b".")
    os.chdir(b"/")
    if not os.path.samestat(os.stat(b"/"), os.fstat(root_fd)):
        raise SandboxError("the new root is not /")


def _leave_keyring() -> None:
    try:
        linux.join_new_session_keyring()
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EDQUOT):
            raise


def _enter_directory(path: bytes) -> None:
    """Change to the working directory and make sure it lies inside (a leaked descriptor could lead outside)."""
    try:
        os.chdir(path or b"/")
        current = os.getcwdb()
    except OSError as error:
        raise SandboxError(
            f"working directory {os.fsdecode(path)}: {error.strerror}", hint="create it in the environment, or use -w"
        ) from error
    if not current.startswith(b"/"):
        raise SandboxError("the working directory lies outside the sandbox")


def _reset_signals() -> None:
    """Undo what Python and the caller ignore or block; both would survive execve."""
    for number in range(1, signal.NSIG):
        with suppress(OSError):  # SIGKILL and SIGSTOP
            linux.default_signal(number)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _execute(argv: tuple[bytes, ...], environment: dict[bytes, bytes], identity: Identity) -> NoReturn:
    name = argv[0]
    shown = os.fsdecode(name)
    if b"/" in name:
        candidates = [name]
    else:
        folders = environment.get(b"PATH", DEFAULT_PATH).split(b":")
        candidates = [(folder or b".") + b"/" + name for folder in folders]
    denied = False
    for path in candidates:
        try:
            execve(path, argv, environment)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                if os.path.isfile(path):
                    raise ProgramNotExecutable(f"{shown}: its interpreter or loader is missing") from error
                continue
            if error.errno == errno.EACCES and len(candidates) > 1:
                denied = True
                continue
            reason = "is a directory" if os.path.isdir(path) else error.strerror
            raise ProgramNotExecutable(f"cannot execute {shown}: {reason}") from error
    if denied:
        raise ProgramNotExecutable(f"cannot execute {shown}: permission denied for uid {identity.uid}")
    if b"/" in name:
        raise ProgramNotFound(f"{shown} does not exist in the environment")
    raise ProgramNotFound(f"{shown} is in no folder of PATH of the environment")

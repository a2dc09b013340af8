"""The monitor side: start a sandbox, wait for its program, pass signals on.

Two processes exist: this one, and PID 1 of the sandbox, which becomes the program. When either dies, the kernel ends
the rest: the program's end kills its pid namespace, the monitor's end kills the program (PDEATHSIG).
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from envgit.errors import HostUnsupported, ProgramNotExecutable, ProgramNotFound, SandboxError
from envgit.exec import linux
from envgit.exec.child import ChildPlan, close_all_but, run_child
from envgit.exec.idmap import namespace_refused, wait_status, write_maps
from envgit.exec.mounts import layers_base, plan_mounts
from envgit.exec.spec import CAPABILITY_NUMBERS, LiveRoot, SandboxSpec
from envgit.exec.volumes import check_source, open_source

if TYPE_CHECKING:
    from envgit.exec.console import Console

OWN_NAMESPACES = (
    linux.CLONE_NEWPID | linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWCGROUP
)  # fmt: skip
FORWARDED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
    signal.SIGCONT,
)  # fmt: skip
_LOST_CHILD_SECONDS = 0.5
FATAL_BY_DEFAULT = frozenset(FORWARDED) - {signal.SIGCONT}
_ERRORS = {kind.code: kind for kind in (SandboxError, ProgramNotExecutable, ProgramNotFound, HostUnsupported)}

StartedCallback = Callable[[int, int], None]


def run(
    spec: SandboxSpec,
    *,
    on_started: StartedCallback | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> int:
    """Run the program of `spec` in a new sandbox on this process's descriptors 0, 1, 2; return its status, 0 to 255.

    A program killed by signal N gives 128+N. `on_started(pid, start_time)` is called once the program runs (it may
    have ended already): the two numbers identify it for a LiveRoot. `on_warning` receives what could not be had. Raises
    SandboxError (exit 125) or a subclass: ProgramNotExecutable (126), ProgramNotFound (127), HostUnsupported (125). Must
    be called from the main thread; changes the working directory and signal mask while it works and restores both. On
    return nothing of the sandbox is left.
    """
    _check(spec)
    console: Console | None = None
    if spec.terminal:
        from envgit.exec.console import Console

        console = Console()
    watched = {signal.SIGCHLD, *(number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN)}
    if console is not None:
        watched.add(signal.SIGWINCH)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        pid = _start(spec, console, on_warning or (lambda message: None))
        try:
            if on_started is not None:
                on_started(pid, start_time(pid))
            if console is not None:
                return console.relay(pid, watched, deliver)
            return _wait(pid, watched)
        except BaseException:
            end(pid)
            raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if console is not None:
            console.close()


def plan(spec: SandboxSpec) -> list[str]:
    """Return one line per mount operation, in order, without doing anything."""
    return [operation.describe() for operation in plan_mounts(spec, layers_base(spec), {})]


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def deliver(pid: int, number: int) -> int | None:
    """Pass a signal on to PID 1 of the sandbox; return the exit status when that ended it.

    The kernel withholds signals with a default action from PID 1, so a program that does not handle ^C could not be
    interrupted: its default action is carried out here.
    """
    if number in FATAL_BY_DEFAULT and not _handles(pid, number):
        end(pid)
        return 128 + number
    os.kill(pid, number)
    return None


def end(pid: int) -> None:
    """Kill PID 1, and with it everything in the sandbox, and wait until it is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def _check(spec: SandboxSpec) -> None:
    if not spec.argv or not spec.argv[0]:
        raise SandboxError("no program was given", hint="envgit run -- PROGRAM [ARGUMENT...]")
    texts = [*spec.argv, *(part for pair in spec.env for part in pair), spec.cwd]
    if any(b"\0" in text for text in texts):
        raise SandboxError("arguments, variables and paths cannot contain NUL")
    for name in spec.capabilities:
        if name not in CAPABILITY_NUMBERS:
            raise SandboxError(f"unknown capability {name}")
    for fd in (0, 1, 2):
        try:
            mode = os.fstat(fd).st_mode
        except OSError:  # closed by the caller: the next open would take its place
            os.open("/dev/null", os.O_RDWR)
            continue
        if stat.S_ISDIR(mode):
            hint = "redirect it from a file or /dev/null"
            raise SandboxError(f"descriptor {fd} is a directory of the host", hint=hint)


def _start(spec: SandboxSpec, console: Console | None, warn: Callable[[str], None]) -> int:
    base = layers_base(spec)
    detached, by_root = _open_sources(spec)
    operations = plan_mounts(spec, base, detached)
    go_read, go_write = os.pipe()
    failure_read, failure_write = os.pipe()
    parent_ends = [go_write, failure_read]
    child_ends = [go_read, failure_write, *detached.values()]
    try:
        keep = tuple(detached.values()) + ((console.child_end,) if console else ())
        child = ChildPlan(spec, operations, go_read, failure_write, keep, console.open_inside if console else None)
        pid = _clone(spec, child, base)
        for fd in (go_read, failure_write):
            os.close(fd)
            child_ends.remove(fd)
        try:
            if not isinstance(spec.root, LiveRoot):
                write_maps(pid, spec.idmap)
                if by_root:
                    _map_volume_ids(pid, spec, detached, warn)
            os.write(go_write, b"x")
            failure = b""
            while piece := os.read(failure_read, 4096):
                failure += piece
            if failure:
                raise _parse_failure(failure)
        except BaseException:
            end(pid)
            raise
        return pid
    finally:
        for fd in parent_ends + child_ends:
            os.close(fd)


def _clone(spec: SandboxSpec, child: ChildPlan, base: bytes) -> int:
    flags = OWN_NAMESPACES | (0 if spec.network == "host" else linux.CLONE_NEWNET)
    if isinstance(spec.root, LiveRoot):
        return _clone_joined(spec.root, child, flags)
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(base)
        pid = linux.clone_process(flags | linux.CLONE_NEWUSER)
        if pid == 0:
            run_child(child)
        return pid
    except OSError as error:
        if error.filename is not None and error.filename != "clone":
            raise SandboxError(f"{os.fsdecode(base)}: {error.strerror}") from error
        raise namespace_refused(error) from error
    finally:
        os.fchdir(here)
        os.close(here)


def _clone_joined(root: LiveRoot, child: ChildPlan, flags: int) -> int:
    """Start PID 1 from inside the joined sandbox's user and mount namespaces.

    A short-lived process enters them (this one could never come back) and clones with CLONE_PARENT, so that the new
    process is a child of the monitor. It is not dumpable and holds nothing but the pipes while it is in there.
    """
    target = _open_process(root)
    answer_read, answer_write = os.pipe()
    helper = linux.clone_process(0)
    if helper == 0:
        try:
            linux.prctl(linux.PR_SET_DUMPABLE, 0)
            keep = (0, 1, 2, child.go, child.failure, answer_write, target, *child.keep)
            _enter_and_clone(target, answer_write, child, flags, keep)
        finally:
            os._exit(125)
    os.close(answer_write)
    os.close(target)
    answer = os.read(answer_read, 32)
    os.close(answer_read)
    wait_status(helper)
    if not answer:
        raise SandboxError("cannot join the running sandbox: it ended or belongs to somebody else")
    return int(answer)


def _enter_and_clone(target: int, answer: int, child: ChildPlan, flags: int, keep: tuple[int, ...]) -> NoReturn:
    close_all_but(keep)
    linux.setns(target, linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    os.close(target)
    pid = linux.clone_process(flags | linux.CLONE_PARENT)
    if pid == 0:
        run_child(child)
    os.write(answer, b"%d" % pid)
    os._exit(0)


def _open_process(root: LiveRoot) -> int:
    """Return a pidfd of exactly the process that `root` names; the start time guards against a reused pid."""
    try:
        fd = os.pidfd_open(root.pid)
    except OSError as error:
        raise SandboxError(f"the sandbox with pid {root.pid} is gone") from error
    if start_time(root.pid) != root.start_time:
        os.close(fd)
        raise SandboxError(f"the sandbox with pid {root.pid} is gone")
    return fd


def _open_sources(spec: SandboxSpec) -> tuple[dict[int, int], bool]:
    """Check volume sources and, as root, open them as detached mounts: root's rights end inside the user namespace."""
    detached: dict[int, int] = {}
    by_root = spec.idmap.kind == "range"
    for number, mount in enumerate(spec.mounts):
        if mount.kind != "bind":
            continue
        real = check_source(mount.source, spec.forbidden_sources)
        fd = open_source(real)
        try:
            if by_root:
                flags = linux.OPEN_TREE_CLONE | linux.AT_EMPTY_PATH | linux.AT_RECURSIVE
                detached[number] = linux.open_tree(fd, b"", flags)
            elif not by_root and isinstance(spec.root, LiveRoot):
                raise SandboxError(
                    "an ordinary user cannot add volumes to a sandbox that is already running",
                    hint="end the other run first, or run a revision: envgit run -v ... REV -- PROGRAM",
                )
        finally:
            os.close(fd)
    return detached, by_root and bool(detached)


def _map_volume_ids(pid: int, spec: SandboxSpec, detached: dict[int, int], warn: Callable[[str], None]) -> None:
    """Let host id N show as inside id N on volumes (idmapped mounts); without it they belong to nobody inside."""
    namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for number, fd in detached.items():
            try:
                linux.mount_setattr(fd, linux.AT_RECURSIVE, linux.MOUNT_ATTR_IDMAP, 0, namespace)
            except OSError as error:
                source = os.fsdecode(spec.mounts[number].source)
                warn(f"files of volume {source} belong to nobody inside: {error.strerror}")
    finally:
        os.close(namespace)


def _parse_failure(report: bytes) -> SandboxError:
    code, _, rest = report.decode("utf-8", "surrogateescape").partition("\0")
    message, _, hint = rest.partition("\0")
    return _ERRORS.get(code, SandboxError)(message, hint=hint or None)


def _wait(pid: int, watched: set[signal.Signals]) -> int:
    """Wait for the program, forwarding signals.

    A SIGCHLD can go to another thread of the caller, which ignores it; so its absence is not trusted for long.
    """
    while True:
        info = signal.sigtimedwait(watched, _LOST_CHILD_SECONDS)
        if info is not None and info.si_signo != signal.SIGCHLD:
            status = deliver(pid, info.si_signo)
            if status is not None:
                return status
            continue
        ended, raw = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(raw)
            return 128 - code if code < 0 else code


def _handles(pid: int, number: int) -> bool:
    """Return whether the process catches or ignores a signal."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            lines = file.read().splitlines()
    except OSError:
        return False
    masks = [int(line.split()[1], 16) for line in lines if line.startswith((b"SigCgt:", b"SigIgn:"))]
    return any(mask >> (number - 1) & 1 for mask in masks)

"""Start the sandbox's first process: clone it into its namespaces, map ids, hand volumes over, let it go.

A start has two halves, so that many can be under way at once: launch() clones, and the process waits; Launch.release() lets it
build the sandbox; Launch.confirm() waits until its program runs, or raises what went wrong.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress

from envgit.errors import HostUnsupported, ProgramNotExecutable, ProgramNotFound, SandboxError
from envgit.exec import linux
from envgit.exec.child import ChildPlan, close_all_but, run_child
from envgit.exec.handoff import TERMINAL, Handoff
from envgit.exec.idmap import namespace_refused, wait_status, write_maps
from envgit.exec.mount.place import Place
from envgit.exec.mount.plan import Operation, layers_base, plan_mounts
from envgit.exec.mount.volumes import CREATED, ReportCreated, read_created
from envgit.exec.network.link import ROUTE_SOCKET, MakeTap, RaiseLoopback
from envgit.exec.process import end, start_time
from envgit.exec.spec import CAPABILITY_NUMBERS, Inside, LiveRoot, SandboxSpec
from envgit.light_typing import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from envgit.exec.mount.sources import Source

OWN_NAMESPACES = (
    linux.CLONE_NEWPID | linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWCGROUP
)  # fmt: skip
ALL_NAMESPACES = OWN_NAMESPACES | linux.CLONE_NEWUSER | linux.CLONE_NEWNET

_ERRORS = {kind.code: kind for kind in (SandboxError, ProgramNotExecutable, ProgramNotFound, HostUnsupported)}

Warn = Callable[[str], None]


class Sandbox(NamedTuple):
    """A sandbox whose program runs, or ran: `pid` and `start_time` (ticks since boot) identify its first process.

    `terminal`: the master of its terminal; `route`: the netlink socket of its network (network/on_demand.py); -1 for none. The
    owner closes both.
    """

    pid: int
    start_time: int
    terminal: int = -1
    route: int = -1
    created: tuple[bytes, ...] = ()
    """Mount points that were made for volumes in the root file system: paths without leading slash."""


class Launch:
    """A first process on its way; `failure` becomes readable when its program runs or the start failed."""

    __slots__ = ("_go", "_handoff", "failure", "pid", "start_time")

    def __init__(self, pid: int, go: int, failure: int, handoff: Handoff) -> None:
        self.pid = pid
        self.start_time = start_time(pid)
        self.failure = failure
        self._go = go
        self._handoff = handoff

    def release(self) -> None:
        """Let it build the sandbox: everything that must be true of the process from outside is."""
        with suppress(BrokenPipeError):  # it ended: confirm() says why
            os.write(self._go, b"x")

    def confirm(self) -> Sandbox:
        """Wait until the program runs; SandboxError or a subclass when it does not come to that, and nothing is left."""
        try:
            report = b""
            while piece := os.read(self.failure, 4096):
                report += piece
            if report:
                raise parse_failure(report)
            handed = self._handoff.receive()
            created = read_created(handed.get(CREATED, -1))
            return Sandbox(self.pid, self.start_time, handed.get(TERMINAL, -1), handed.get(ROUTE_SOCKET, -1), created)
        except BaseException:
            end(self.pid)
            raise
        finally:
            self._close()

    def abort(self) -> None:
        """Give up before confirm(): the process ends, nothing of it is left."""
        end(self.pid)
        self._close()

    def _close(self) -> None:
        self._handoff.close()
        os.close(self.failure)
        os.close(self._go)


def launch(
    spec: SandboxSpec,
    *,
    stdio: tuple[int, int, int] = (0, 1, 2),
    warn: Warn = lambda message: None,
    outlives: bool = False,
    gate: int = -1,
) -> Launch:
    """Clone the first process of a sandbox; it waits for release(). Raises SandboxError or HostUnsupported.

    The program will have `stdio` as descriptors 0, 1, 2, and dies with this thread (PDEATHSIG) unless it `outlives` it. The
    caller has no second thread. `warn` receives what could not be had. `gate`, a descriptor that stays the caller's, is where
    a program that outlives waits for a byte as its last step before execve; confirm() returns when it waits there.
    """
    check_spec(spec, stdio)
    base = layers_base(spec)
    sources = _open_sources(spec, warn)
    inherited = tuple(fd for source in sources.values() for fd in (source.mount, source.marker) if fd >= 0)
    pipes: list[int] = []
    handoff: Handoff | None = None
    child_side: list[int] = list(inherited)
    try:
        handoff = Handoff()
        operations = plan_mounts(spec, base, sources)
        if operations:
            operations.append(ReportCreated(handoff.send))
        go_read, go_write = os.pipe()
        pipes.append(go_write)
        child_side.append(go_read)
        failure_read, failure_write = os.pipe()
        pipes.append(failure_read)
        child_side.append(failure_write)
        network = plan_network(spec, handoff)
        plan = ChildPlan(spec, operations, network, go_read, failure_write, handoff, inherited, stdio, outlives, gate)
        pid = _clone(spec, plan, base)
        try:
            _set_oom_score(pid, spec.oom_score_adj)
            if not isinstance(spec.root, (LiveRoot, Inside)):
                write_maps(pid, spec.idmap)
            if sources and spec.idmap.kind == "range" and not spec.volume_ids_as_on_disk:
                map_volume_ids(pid, spec, {number: source.mount for number, source in sources.items()}, warn)
            return Launch(pid, go_write, failure_read, handoff)
        except BaseException:
            end(pid)
            raise
    except BaseException:
        if handoff is not None:
            handoff.close()
        for fd in pipes:
            os.close(fd)
        raise
    finally:
        for fd in child_side:
            os.close(fd)


def plan_network(spec: SandboxSpec, handoff: Handoff) -> list[Operation]:
    """Return what the child does in its network namespace."""
    if isinstance(spec.root, Inside) or spec.network == "host":
        return []
    if any(each.kind == "network" for each in spec.joined):
        return []  # whoever made it looks after it
    if spec.network == "veth":
        from envgit.exec.network.veth import SetUpVeth

        return [SetUpVeth()]
    return [MakeTap(spec.subnet, handoff.send)] if spec.network == "tap" else [RaiseLoopback()]


def check_spec(spec: SandboxSpec, stdio: tuple[int, int, int]) -> None:
    """Raise SandboxError for what no sandbox can be started with."""
    if not spec.argv or not spec.argv[0]:
        raise SandboxError("no program was given", hint="envgit run -- PROGRAM [ARGUMENT...]")
    texts = [*spec.argv, *(part for pair in spec.env for part in pair), spec.cwd]
    if any(b"\0" in text for text in texts):
        raise SandboxError("arguments, variables and paths cannot contain NUL")
    for name in spec.capabilities:
        if name not in CAPABILITY_NUMBERS:
            raise SandboxError(f"unknown capability {name}")
    for number, fd in enumerate(stdio):
        try:
            mode = os.fstat(fd).st_mode
        except OSError:  # closed by the caller: the next open would take its place
            os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)
            continue
        if stat.S_ISDIR(mode):
            hint = "redirect it from a file or /dev/null"
            raise SandboxError(f"descriptor {number} is a directory of the host", hint=hint)


def _clone(spec: SandboxSpec, plan: ChildPlan, base: bytes) -> int:
    flags = OWN_NAMESPACES & ~linux.CLONE_NEWCGROUP | (0 if spec.network == "host" else linux.CLONE_NEWNET)
    if isinstance(spec.root, LiveRoot):
        return _clone_joined(spec.root, plan, linux.CLONE_NEWUSER | linux.CLONE_NEWNS, flags)
    if isinstance(spec.root, Inside):
        return _clone_joined(spec.root, plan, ALL_NAMESPACES, 0)
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(base)
        if spec.joined:
            from envgit.exec.joined import clone_among

            return clone_among(spec.joined, plan, flags | linux.CLONE_NEWUSER)
        pid = linux.clone_process(flags | linux.CLONE_NEWUSER)
        if pid == 0:
            run_child(plan)
        return pid
    except OSError as error:
        if error.filename is not None and error.filename != "clone":
            raise SandboxError(f"{os.fsdecode(base)}: {error.strerror}") from error
        raise namespace_refused(error) from error
    finally:
        os.fchdir(here)
        os.close(here)


def _clone_joined(root: LiveRoot | Inside, plan: ChildPlan, join: int, flags: int) -> int:
    """Start a process from inside namespaces of a running sandbox: it joins those of `join` and has its own of `flags`.

    A short-lived process enters them (this one could never come back) and clones with CLONE_PARENT, so that the new
    process is a child of the monitor. It is not dumpable and holds nothing but the pipes while it is in there.
    """
    target = _open_process(root)
    answer_read = answer_write = -1
    try:
        answer_read, answer_write = os.pipe()
        helper = linux.clone_process(0)
        if helper == 0:
            try:
                linux.prctl(linux.PR_SET_DUMPABLE, 0)
                keep = (
                    0,
                    1,
                    2,
                    *plan.stdio,
                    plan.go,
                    plan.failure,
                    plan.handoff.child_end,
                    answer_write,
                    target,
                    *plan.keep,
                )
                close_all_but(keep)
                if isinstance(root, LiveRoot):
                    plan, flags = _open_network(target, plan, flags)
                    join &= ~linux.CLONE_NEWUSER
                linux.setns(target, join)
                linux.prctl(linux.PR_SET_DUMPABLE, 0)
                os.close(target)
                _clone_and_report(answer_write, plan, flags)
            finally:
                os._exit(125)
        os.close(answer_write)
        answer_write = -1
        answer = os.read(answer_read, 32)
    except OSError as error:
        raise SandboxError(f"cannot join the running sandbox: {error.strerror}") from error
    finally:
        for fd in (target, answer_read, answer_write):
            if fd >= 0:
                os.close(fd)
    wait_status(helper)
    if not answer:
        raise SandboxError("cannot join the running sandbox: it ended or belongs to somebody else")
    return int(answer)


def _open_network(target: int, plan: ChildPlan, flags: int) -> tuple[ChildPlan, int]:
    """Enter the user namespace, and make the network namespace while the host's /dev/net/tun can still be seen: a tap belongs
    to the network namespace in which the device was opened."""
    linux.setns(target, linux.CLONE_NEWUSER)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    if flags & linux.CLONE_NEWNET:
        linux.unshare(linux.CLONE_NEWNET)
    place, opened = Place(), []
    for operation in plan.network:
        operation.open(place)
        if isinstance(operation, MakeTap):
            opened.append(operation.tun)
    return plan._replace(keep=(*plan.keep, *opened)), flags & ~linux.CLONE_NEWNET


def _clone_and_report(answer: int, plan: ChildPlan, flags: int) -> NoReturn:
    pid = linux.clone_process(flags | linux.CLONE_PARENT)
    if pid == 0:
        run_child(plan)
    os.write(answer, b"%d" % pid)
    os._exit(0)


def _set_oom_score(pid: int, adjustment: int | None) -> None:
    """Set how soon the kernel ends a process when memory is short; a value below 0 is a privilege and not inherited."""
    if adjustment is None:
        with open("/proc/self/oom_score_adj", "rb", buffering=0) as file:
            if int(file.read()) >= 0:
                return
    try:
        with open(f"/proc/{pid}/oom_score_adj", "wb", buffering=0) as file:
            file.write(b"%d" % (adjustment or 0))
    except OSError as error:
        raise SandboxError(f"oom score {adjustment}: {error.strerror}", hint="use a number from 0 to 1000") from error


def _open_process(root: LiveRoot | Inside) -> int:
    """Return a pidfd of exactly the process that `root` names; the start time guards against a reused pid."""
    try:
        fd = os.pidfd_open(root.pid)
    except OSError as error:
        raise SandboxError(f"the sandbox with pid {root.pid} is gone") from error
    if start_time(root.pid) != root.start_time:
        os.close(fd)
        raise SandboxError(f"the sandbox with pid {root.pid} is gone")
    return fd


def _open_sources(spec: SandboxSpec, warn: Warn) -> dict[int, Source]:
    """Check volume sources and open them as detached mounts: the caller's rights end inside the user namespace."""
    if not spec.mounts or isinstance(spec.root, Inside):
        return {}
    if isinstance(spec.root, LiveRoot) and any(mount.kind == "layers" for mount in spec.mounts):
        raise SandboxError(
            "another revision cannot be mounted in a sandbox that is already running",
            hint="end the other run first, or run a revision: envgit run --mount type=rev,... REV -- PROGRAM",
        )
    if not any(mount.kind in ("bind", "volume") for mount in spec.mounts):
        return {}
    from envgit.exec.mount.sources import open_sources

    return open_sources(spec.mounts, spec.forbidden_sources, by_root=spec.idmap.kind == "range", warn=warn)


def map_volume_ids(pid: int, spec: SandboxSpec, mounts: Mapping[int, int], warn: Warn) -> None:
    """Let host id N show as inside id N on folders of the host (idmapped mounts); without it they belong to nobody inside.

    `mounts`: the detached mount of each number of `spec.mounts`; `pid` is in the user namespace. Named volumes hold the
    sandbox's own ids on disk and need nothing.
    """
    namespace = -1
    try:
        for number, mount in mounts.items():
            if spec.mounts[number].kind != "bind":
                continue
            if namespace < 0:
                namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            try:
                linux.mount_setattr(mount, linux.AT_RECURSIVE, linux.MOUNT_ATTR_IDMAP, 0, namespace)
            except OSError as error:
                name = os.fsdecode(spec.mounts[number].source)
                warn(f"files of volume {name} belong to nobody inside: {error.strerror}")
    finally:
        if namespace >= 0:
            os.close(namespace)


def parse_failure(report: bytes) -> SandboxError:
    """Return the error that a child wrote with child.report_failure()."""
    code, _, rest = report.decode("utf-8", "surrogateescape").partition("\0")
    message, _, hint = rest.partition("\0")
    return _ERRORS.get(code, SandboxError)(message, hint=hint or None)

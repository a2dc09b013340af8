"""Run a sandbox's spec with another OCI runtime: crun, runc, or one given by its path.

A process of ours, first in a pid namespace and with a mount namespace of its own, mounts the overlay, writes the bundle into a
memory file system that nobody else sees, and becomes the runtime. When it or its monitor dies, everything inside ends and
every mount and file goes with the namespaces; what can be left is an empty control group, which the next run removes.
"""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from envgit.errors import HostUnsupported, ProgramNotExecutable, ProgramNotFound, SandboxError
from envgit.exec import linux
from envgit.exec.child import close_all_but, report_failure
from envgit.exec.idmap import namespace_refused, needs_tree_namespace, write_maps
from envgit.exec.launch import map_volume_ids, parse_failure
from envgit.exec.mount.place import attach, new_filesystem
from envgit.exec.mount.plan import check_target, layers_base
from envgit.exec.mount.rootfs import make_overlay
from envgit.exec.mount.sources import open_sources, source_fds
from envgit.exec.oci.foreign_groups import group_path, remove_left_groups
from envgit.exec.oci.foreign_monitor import attend
from envgit.exec.oci.to_oci import Extras, missing_in_oci, to_oci
from envgit.exec.process import FORWARDED, end
from envgit.exec.program import find_identity, reset_signals
from envgit.exec.spec import OverlayRoot, SandboxSpec
from envgit.light_typing import NamedTuple
from envgit.model import IdMap, IdMapExtent

_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_COVERED = (b"/dev/mqueue", b"/dev/shm", b"/mnt", b"/media")
"""Where the bundle's file system may be mounted: what no runtime looks at."""
_MOST_LOG_BYTES = 1 << 20
_UNDERSTOOD_VERSION = "1.0.2"
"""What is handed over uses nothing newer, and crun refuses versions that it does not know."""


class _Plan(NamedTuple):
    spec: SandboxSpec
    runtime: str
    extras: Extras
    id: str
    go: int
    failure: int
    log: int
    volumes: dict[int, int]


def find_runtime(name: str) -> str:
    """Return the path of a runtime given by name or path. Fixed folders, as for every program run with power over ids."""
    paths = [os.path.abspath(name)] if "/" in name else [f"{folder}/{name}" for folder in _FOLDERS]
    for path in paths:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise SandboxError(f"there is no OCI runtime {name!r}", hint="apt-get install runc, or leave --runtime out")


def run_foreign(
    spec: SandboxSpec,
    runtime: str,
    *,
    extras: Extras | None = None,
    on_started: Callable[[int, int], None] | None = None,
    on_warning: Callable[[str], None] | None = None,
) -> int:
    """Run the program of `spec` with another runtime; return its status, as runner.run does and with its errors.

    Limits and the filter are taken from `extras`. `on_started` and `on_warning` as for runner.run. Called from the main thread.
    """
    warn = on_warning or (lambda message: None)
    path = find_runtime(runtime)
    extras = (extras or Extras())._replace(version=_UNDERSTOOD_VERSION)
    if not isinstance(spec.root, OverlayRoot):
        raise SandboxError(
            f"{runtime} cannot join the sandbox that runs already in this worktree",
            hint="end the other run first, or run a revision",
        )
    for gap in missing_in_oci(spec, extras):
        warn(f"{runtime}: {gap}")
    for mount in spec.mounts:
        check_target(mount.target)
    remove_left_groups()
    id = group_path(os.getpid())
    if os.geteuid() == 0:
        extras = extras._replace(cgroups_path=f"/{id}")
    elif extras.limits.controllers:
        warn(f"{runtime}: limits are not enforced for an ordinary user: {', '.join(sorted(extras.limits.controllers))}")
        extras = extras._replace(limits=extras.limits._replace(memory_bytes=None, nano_cpus=None, pids=None))
    streams = [os.fstat(fd) for fd in (0, 1, 2)]
    try:
        return _run(spec, path, extras, id, on_started, warn)
    finally:
        _take_back(streams)
        remove_left_groups(id)


def _take_back(streams: list[os.stat_result]) -> None:
    """Give the standard streams their owners back: crun, as root, gives them to the sandbox's root."""
    for fd, before in enumerate(streams):
        now = os.fstat(fd)
        if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
            os.fchown(fd, before.st_uid, before.st_gid)


def _run(
    spec: SandboxSpec,
    path: str,
    extras: Extras,
    id: str,
    on_started: Callable[[int, int], None] | None,
    warn: Callable[[str], None],
) -> int:
    rootless = needs_tree_namespace(spec.idmap)
    sources = open_sources(spec.mounts, spec.forbidden_sources, by_root=not rootless, warn=warn)
    volumes = {number: source.mount for number, source in sources.items() if source.mount >= 0}
    go_read, go_write = os.pipe()
    failure_read, failure_write = os.pipe()
    log = os.memfd_create("log", 0)
    ours = [go_write, failure_read, log]
    watched = {int(number) for number in (*FORWARDED, signal.SIGCHLD)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        if not rootless and volumes and not spec.volume_ids_as_on_disk:
            _map_ids(spec, volumes, warn)
        plan = _Plan(spec, path, extras, id, go_read, failure_write, log, volumes)
        pid = _clone(plan, rootless)
        for fd in (go_read, failure_write, *source_fds(sources)):
            os.close(fd)
        sources = {}
        try:
            if rootless:
                write_maps(pid, spec.idmap)
            os.write(go_write, b"x")
            report = _read_all(failure_read)
            if report:
                raise parse_failure(report)
            status = attend(pid, watched, on_started)
        except BaseException:
            end(pid)
            raise
        problem = _read_problem(log)
        if problem and status:
            raise _classify(os.path.basename(path), problem)
        return status
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for fd in (*ours, *source_fds(sources)):
            os.close(fd)


def _clone(plan: _Plan, rootless: bool) -> int:
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    base = layers_base(plan.spec)
    try:
        os.chdir(base)  # the layers' folder may be closed to whoever has other ids: the child starts in it
        flags = linux.CLONE_NEWPID | linux.CLONE_NEWNS | (linux.CLONE_NEWUSER if rootless else 0)
        pid = linux.clone_process(flags)
        if pid == 0:
            _become_runtime(plan, base, rootless)
        return pid
    except OSError as error:
        raise namespace_refused(error) from error
    finally:
        os.fchdir(here)
        os.close(here)


def _become_runtime(plan: _Plan, base: bytes, rootless: bool) -> NoReturn:
    """In the clone: build root and bundle, then be the runtime. Failures go to the monitor as the built-in runner's do."""
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        close_all_but((0, 1, 2, plan.go, plan.failure, plan.log, *plan.volumes.values()))
        if not os.read(plan.go, 1):
            os._exit(125)
        linux.mount_propagation_private()
        root = plan.spec.root
        assert isinstance(root, OverlayRoot)
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        paths = [os.path.relpath(path, base) for path in (*root.lowers, root.upper, root.work)]
        *lowers, upper, work = [os.open(path, flags) for path in paths]
        if rootless:
            if sum(extent.size for extent in plan.spec.idmap.gids) > 1:
                os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        overlay = make_overlay(lowers, (upper, work), volatile=root.volatile)
        folder = _make_bundle(plan, overlay, rootless)
        if not plan.spec.terminal:
            os.setsid()
        if not rootless:
            _replace_null()
        _execute(plan, folder)
    except SandboxError as error:
        report_failure(plan.failure, error)
    except OSError as error:
        where = os.fsdecode(error.filename or "")
        report_failure(plan.failure, SandboxError(f"bundle for {plan.runtime}: {where} {error.strerror}"))
    except BaseException as error:
        report_failure(plan.failure, SandboxError(f"bundle for {plan.runtime}: {type(error).__name__}: {error}"))
    finally:
        os._exit(125)


def _replace_null() -> None:
    """Put a private node in place of standard streams that are the machine's /dev/null: a runtime may change its owner."""
    null = os.makedev(1, 3)
    streams = [fd for fd in (0, 1, 2) if stat.S_ISCHR(os.fstat(fd).st_mode) and os.fstat(fd).st_rdev == null]
    if streams:
        memory = new_filesystem(b"tmpfs", ((b"mode", b"700"),), linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NOEXEC)
        os.mknod(b"null", stat.S_IFCHR | 0o666, null, dir_fd=memory)
        node = os.open(b"null", os.O_RDWR | os.O_CLOEXEC, dir_fd=memory)
        for fd in streams:
            os.dup2(node, fd)
        os.close(node)
        os.close(memory)


def _make_bundle(plan: _Plan, overlay: int, rootless: bool) -> bytes:
    """Mount a memory file system with the root, the files, the volumes and config.json; return its path."""
    memory = new_filesystem(b"tmpfs", ((b"mode", b"711"),), linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV)
    folder = next((path for path in _COVERED if os.path.isdir(path)), None)
    if folder is None:
        raise HostUnsupported("no folder to put a bundle over", hint="mkdir /mnt")
    attach(memory, os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    for name in (b"rootfs", b"files", b"volumes", b"state"):
        os.mkdir(name, 0o711, dir_fd=memory)
    attach(overlay, os.open(b"rootfs", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=memory))
    spec = _translated(plan.spec) if rootless else plan.spec
    owner = spec.idmap.uids[0].outside
    for number, (_, content) in enumerate(spec.files):
        fd = os.open(b"files/%d" % number, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=memory)
        os.write(fd, content)
        os.fchmod(fd, 0o644)
        os.fchown(fd, owner, owner)
        os.close(fd)
    sources = {}
    for number, fd in plan.volumes.items():
        place = b"volumes/%d" % number
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            os.mkdir(place, 0o711, dir_fd=memory)
        else:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644, dir_fd=memory))
        attach(fd, os.open(place, os.O_PATH | os.O_CLOEXEC, dir_fd=memory))
        sources[number] = folder + b"/" + place
    identity = find_identity(plan.spec, overlay)
    extras = plan.extras._replace(files_folder=folder + b"/files", sources=sources)
    config = to_oci(spec, identity, folder + b"/rootfs", extras)
    fd = os.open(b"config.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=memory)
    with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(config, file, ensure_ascii=False)
    proc = new_filesystem(b"proc", (), linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV | linux.MOUNT_ATTR_NOEXEC)
    attach(proc, os.open(b"/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    os.close(proc)
    os.close(memory)
    return folder


def _translated(spec: SandboxSpec) -> SandboxSpec:
    """Return the spec as it is inside the user namespace that this process is root of: every id stands for itself."""
    maps = (tuple(IdMapExtent(each.inside, each.inside, each.size) for each in ids) for ids in spec.idmap[1:])
    return spec._replace(idmap=IdMap("nested", *maps))


def _execute(plan: _Plan, folder: bytes) -> NoReturn:
    os.set_inheritable(plan.log, True)
    where = os.fsdecode(folder)
    log = ["--log", f"/proc/self/fd/{plan.log}", "--log-format", "json"]
    words = [os.path.basename(plan.runtime), *log, "--root", f"{where}/state"]
    if words[0] == "crun" and os.geteuid() == 0 and not plan.extras.limits.controllers:
        words += ["--cgroup-manager", "disabled"]
    words += ["run", "--bundle", where, plan.id]
    os.chdir("/")
    reset_signals()  # what is ignored here, a runtime passes on
    environment = {"PATH": ":".join(_FOLDERS), "XDG_RUNTIME_DIR": f"{where}/state"}
    os.set_inheritable(plan.failure, False)
    os.execve(plan.runtime, words, environment)


def _map_ids(spec: SandboxSpec, volumes: dict[int, int], warn: Callable[[str], None]) -> None:
    """Let host id N show as inside id N on bind mounts, as the built-in runner does: with the namespace of a passing process."""
    read, write = os.pipe()
    try:
        pid = linux.clone_process(linux.CLONE_NEWUSER)
        if pid == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        try:
            write_maps(pid, spec.idmap)
            map_volume_ids(pid, spec, volumes, warn)
        finally:
            end(pid)
    finally:
        os.close(read)
        os.close(write)


def _read_all(fd: int) -> bytes:
    text = b""
    while piece := os.read(fd, 4096):
        text += piece
    return text


def _read_problem(log: int) -> str:
    """Return the last error of a runtime's log; "" when there is none."""
    problem = ""
    for line in os.pread(log, _MOST_LOG_BYTES, 0).splitlines():
        with suppress(ValueError, AttributeError):
            entry = json.loads(line)
            if entry.get("level") in ("error", "fatal"):
                problem = str(entry.get("msg", ""))
    return problem


def _classify(name: str, problem: str) -> SandboxError:
    """Return the error that the built-in runner would raise for the same reason."""
    text = problem.lower()
    if "executable file" in text and "not found" in text:
        return ProgramNotFound(f"{name}: {problem}")
    if "exec" in text and "no such file or directory" in text and "chdir" not in text:
        return ProgramNotFound(f"{name}: {problem}")
    if "exec" in text and ("permission denied" in text or "format error" in text):
        return ProgramNotExecutable(f"{name}: {problem}")
    if "cgroup" in text:
        return HostUnsupported(f"{name}: {problem}", hint="--runtime runc, or leave --runtime out")
    return SandboxError(f"{name}: {problem}")

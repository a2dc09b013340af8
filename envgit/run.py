"""Run: a program in a sandbox over any revision, or over the worktree, where its changes stay."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from envgit.errors import SandboxError, UsageError
from envgit.exec.runner import run
from envgit.exec.spec import LiveRoot, Mount, OverlayRoot, SandboxSpec
from envgit.layers.plan_file import Plan
from envgit.repo import Repository
from envgit.sandbox_state import SandboxState, find_live, lock_starts, remove_state, write_state
from envgit.stack import ensure_plan, find_plan, run_where_ids_are_plain
from envgit.store import storage
from envgit.store.pointers import write_pointer
from envgit.uppers import Upper, copy_root_attributes, create_upper, lock_upper, upper_paths
from envgit.worktree import Pointer, worktree_name

_INHERITED = ("TERM", "LANG", "TZ")
_INHERITED_PREFIX = "LC_"
_JOIN_TRIES = 20
_JOIN_PAUSE_SECONDS = 0.01


class RunRequest(NamedTuple):
    """What to run. Without `revision`: in the worktree, and changes stay. `volumes`: HOST:PATH[:ro]."""

    revision: str | None = None
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    workdir: str | None = None
    user: str | None = None
    volumes: tuple[str, ...] = ()
    interactive: bool = False
    terminal: bool = False
    network: Literal["none", "host"] = "none"
    hostname: str | None = None
    read_only: bool = False
    entrypoint: str | None = None


def run_sandbox(repo: Repository, request: RunRequest) -> int:
    """Run a program and return its exit status. Raises SandboxError (125, 126, 127) and what resolving a revision raises."""
    if request.revision is not None:
        oid = repo.resolve_bytes(request.revision)
        return _run_throw_away(repo, request, oid)
    return _run_in_worktree(repo, request)


def _run_throw_away(repo: Repository, request: RunRequest, oid: bytes) -> int:
    plan, start = _hold_plan(repo, oid)
    id = os.urandom(6).hex()
    folder = repo.path("sandboxes", id)
    upper = Upper(id, f"{folder}/upper", f"{folder}/work", "")
    storage.make_directory(folder, step="sandbox-folder", parents=True)
    try:
        for path in (upper.upper, upper.work):
            os.mkdir(path, 0o755)
            _give_to_root(repo, path)
        if plan.layers:
            copy_root_attributes(repo, os.fsdecode(repo.cache.layer_path(plan.layers[0])), upper.upper)
        return _run(repo, request, plan, id, _overlay(repo, plan, upper, volatile=True), "-", (start,))
    finally:
        os.close(start)
        _remove_folder(repo, "sandboxes", id)


def _run_in_worktree(repo: Repository, request: RunRequest) -> int:
    plan, upper, shared, start = _settle(repo)
    id = os.urandom(6).hex()
    try:
        with _mounting(upper) as mounting:
            until_started = (mounting, start)
            tries = _JOIN_TRIES
            while (live := find_live(repo, upper.id)) is not None:
                try:
                    joined = LiveRoot(live.pid, live.start_time)
                    return _run(repo, request, plan, id, joined, upper.id, until_started)
                except SandboxError as error:  # when it is just ending
                    tries -= 1
                    if type(error) is not SandboxError or not tries:
                        raise
                    time.sleep(_JOIN_PAUSE_SECONDS)
            root = _overlay(repo, plan, upper, volatile=False)
            return _run(repo, request, plan, id, root, upper.id, until_started)
    finally:
        remove_state(repo, id)
        os.close(shared)
        os.close(start)


def _settle(repo: Repository) -> tuple[Plan, Upper, int, int]:
    """Return what to mount, a lock on the upper directory and one on the layers, all of the same moment.

    A commit may move the base and turn the upper directory into a layer between any two looks; not while the lock is held.
    """
    while True:
        base = _worktree_pointer(repo).base
        plan = ensure_plan(repo, base)
        pointer, upper = _ensure_upper(repo, _worktree_pointer(repo), plan)
        shared = lock_upper(upper, exclusive=False, wait=True)
        assert shared is not None
        if pointer.base == base and _worktree_pointer(repo) == pointer:
            start = lock_starts(repo)
            if find_plan(repo, base) == plan:
                return plan, upper, shared, start
            os.close(start)
        os.close(shared)


def _hold_plan(repo: Repository, oid: bytes) -> tuple[Plan, int]:
    """Return the plan of a commit and a lock that keeps gc away from its layers."""
    while True:
        plan = ensure_plan(repo, oid)
        start = lock_starts(repo)
        if find_plan(repo, oid) == plan:
            return plan, start
        os.close(start)


def _worktree_pointer(repo: Repository) -> Pointer:
    head = repo.read_head()
    pointer = repo.read_pointer(repo.branch_name(), head.oid)
    if pointer is None:
        raise UsageError(
            f"branch {repo.branch_name()} has no environment yet", hint="make one: envgit import --from host"
        )
    return pointer


def _ensure_upper(repo: Repository, pointer: Pointer, plan: Plan) -> tuple[Pointer, Upper]:
    """Return the worktree's upper directory; the first run after a checkout makes it."""
    if pointer.upper is not None:
        return pointer, upper_paths(repo, pointer.upper)
    lock = repo.lock()
    lock.acquire(b"envgit run")
    try:
        pointer = _worktree_pointer(repo)
        if pointer.upper is not None:
            return pointer, upper_paths(repo, pointer.upper)
        top = os.fsdecode(repo.cache.layer_path(plan.layers[0])) if plan.layers else None
        upper = create_upper(repo, top)
        pointer = Pointer(pointer.base, upper.id)
        write_pointer(repo.git_dir, worktree_name(repo.branch_name()), pointer.format())
        return pointer, upper
    finally:
        lock.release()


@contextmanager
def _mounting(upper: Upper) -> Iterator[int]:
    """Hold the right to mount the upper directory: from looking for a running sandbox until this one can be found."""
    fd = os.open(os.path.dirname(upper.upper), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


def _overlay(repo: Repository, plan: Plan, upper: Upper, *, volatile: bool) -> OverlayRoot:
    return OverlayRoot(
        lowers=tuple(repo.cache.layer_path(name) for name in plan.layers),
        upper=os.fsencode(upper.upper),
        work=os.fsencode(upper.work),
        volatile=volatile,
    )


def _run(
    repo: Repository,
    request: RunRequest,
    plan: Plan,
    id: str,
    root: LiveRoot | OverlayRoot,
    upper_id: str,
    until_started: tuple[int, ...],
) -> int:
    """Run in a sandbox; the locks `until_started` are let go when others can find it."""

    def started(pid: int, start_time: int) -> None:
        write_state(repo, SandboxState(id, pid, start_time, upper_id, plan.layers))
        for fd in until_started:
            fcntl.flock(fd, fcntl.LOCK_UN)

    spec = make_spec(repo, request, plan, root)
    repo.cache.touch(plan.layers[:1])
    return run(spec, on_started=started, on_warning=repo.monitor.warn)


def make_spec(repo: Repository, request: RunRequest, plan: Plan, root: LiveRoot | OverlayRoot) -> SandboxSpec:
    """Describe the sandbox: the environment's configuration below what was asked for."""
    hostname = request.hostname or "envgit"
    program = (request.entrypoint,) if request.entrypoint else plan.entrypoint
    arguments = request.command or (() if request.entrypoint else plan.cmd)
    argv = (*program, *arguments) or ("/bin/sh",)
    inherited = {
        name: value for name, value in repo.environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIX)
    }
    if not request.terminal:
        inherited.pop("TERM", None)
    env = {**inherited, **dict(plan.env), **dict(request.env)}
    return SandboxSpec(
        argv=tuple(os.fsencode(word) for word in argv),
        root=root,
        idmap=repo.idmap,
        env=tuple((os.fsencode(name), os.fsencode(value)) for name, value in env.items()),
        cwd=os.fsencode(request.workdir or plan.working_dir or "/"),
        user=os.fsencode(request.user or plan.user),
        hostname=os.fsencode(hostname),
        terminal=request.terminal,
        network=request.network,
        mounts=tuple(parse_volume(volume) for volume in request.volumes),
        files=_injected_files(hostname, request.network),
        readonly_root=request.read_only,
        forbidden_sources=(os.fsencode(repo.git_dir),),
    )


def parse_volume(text: str) -> Mount:
    """Parse HOST:PATH[:ro|:rw]; HOST is absolute or starts with `.` or `~`-free relative parts. Raises UsageError."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(parts) or (len(parts) == 3 and parts[2] not in ("ro", "rw")):
        raise UsageError(f"{text!r} is not a volume", hint="-v HOST:PATH or -v HOST:PATH:ro")
    source, target = parts[0], parts[1]
    if not target.startswith("/"):
        raise UsageError(f"the target {target!r} of a volume is not absolute", hint=f"-v {source}:/{target}")
    if not source.startswith(("/", ".")):
        raise UsageError(
            f"{source!r} would be a named volume, which this version does not have", hint=f"-v ./{source}:{target}"
        )
    return Mount("bind", os.fsencode(target), os.fsencode(os.path.abspath(source)), parts[2:] == ["ro"])


def _injected_files(hostname: str, network: str) -> tuple[tuple[bytes, bytes], ...]:
    name = os.fsencode(hostname)
    hosts = b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t%b\n" % name
    files = [(b"/etc/hosts", hosts), (b"/etc/hostname", name + b"\n")]
    if network == "host":
        for path in ("/etc/hosts", "/etc/resolv.conf"):
            try:
                with open(path, "rb") as file:
                    files.append((os.fsencode(path), file.read()))
            except OSError:
                continue
        if any(path == b"/etc/hosts" for path, _ in files[2:]):
            del files[0]
    return tuple(files)


def _give_to_root(repo: Repository, path: str) -> None:
    if repo.disk_ids.shift:
        os.chown(path, repo.disk_ids.to_disk(0), repo.disk_ids.to_disk(0))


def _remove_folder(repo: Repository, kind: str, id: str) -> None:
    """Remove a throw-away sandbox: as this user where that is enough, else where ids are plain."""
    from envgit.layers.removal import remove_tree

    parent = os.open(repo.path(kind), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            remove_tree(os.fsencode(id), parent)
        except PermissionError:
            run_where_ids_are_plain(repo, lambda: remove_tree(os.fsencode(id), parent))
    finally:
        os.close(parent)

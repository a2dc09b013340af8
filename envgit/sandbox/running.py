"""Run a program once in a sandbox: over any revision, or over the worktree, where its changes stay."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from envgit.errors import SandboxError, StorageError, UsageError
from envgit.exec.runner import Companions, run
from envgit.exec.spec import LiveRoot, Mount, OverlayRoot
from envgit.layers.plan_file import Plan
from envgit.repo import Repository
from envgit.sandbox.describing import describe
from envgit.sandbox.request import RunRequest
from envgit.sandbox.state import SandboxState, find_live, lock_starts, remove_state, wait_until_gone, write_state
from envgit.stack import ensure_plan, find_plan, run_where_ids_are_plain
from envgit.store import storage
from envgit.store.pointers import write_pointer
from envgit.uppers import Upper, copy_root_attributes, create_upper, lock_upper, upper_paths
from envgit.worktree import Pointer, worktree_name

_JOIN_TRIES = 20


def new_id() -> str:
    """Return a new sandbox's id: 12 hexadecimal digits."""
    return os.urandom(6).hex()


def run_once(
    repo: Repository,
    request: RunRequest,
    id: str,
    *,
    stdio: tuple[int, int, int] = (0, 1, 2),
    beside: Companions | None = None,
    keep: bool = False,
) -> int:
    """Run the request's program to its end and return its exit status; `sandboxes/ID/state` exists while it runs.

    With a revision the changes lie in `sandboxes/ID/upper`, and are removed with the folder, or with `keep` stay and are
    found again by the next call with this id. Without one they are the worktree's. `beside` lives in this process while the sandbox
    does. Raises SandboxError (125, 126, 127) and what resolving a revision raises.
    """
    oid = _worktree_pointer(repo).base if request.revision is None else repo.resolve_bytes(request.revision)
    plan = ensure_plan(repo, oid)
    if plan.asked and not request.settled:
        from envgit.sandbox.grants import settle_request

        request = settle_request(repo, request, plan.asked)
    if request.mounts or request.volumes_from:
        from envgit.sandbox.mounts import prepare_mounts

        prepare_mounts(repo, request.mounts, request.volumes_from)  # before any lock: it may take the repository's
    if request.revision is not None:
        return _run_revision(repo, request, (oid, plan), id, stdio, beside, keep)
    return _run_in_worktree(repo, request, (oid, plan), id, stdio, beside, keep)


def sandbox_upper(repo: Repository, id: str) -> Upper:
    """Return where the changes of a sandbox over a revision are."""
    folder = repo.path("sandboxes", id)
    return Upper(id, f"{folder}/upper", f"{folder}/work", "")


def remove_sandbox_folder(repo: Repository, id: str) -> None:
    """Remove everything in `sandboxes/ID`: as this user where that is enough, else where ids are plain."""
    from envgit.layers.removal import remove_tree

    parent = os.open(repo.path("sandboxes"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            remove_tree(os.fsencode(id), parent)
        except PermissionError:
            run_where_ids_are_plain(repo, lambda: remove_tree(os.fsencode(id), parent))
    finally:
        os.close(parent)


def _run_revision(
    repo: Repository,
    request: RunRequest,
    found: tuple[bytes, Plan],
    id: str,
    stdio: tuple[int, int, int],
    beside: Companions | None,
    keep: bool,
) -> int:
    oid, plan = found
    plan, start = hold_plan(repo, oid, plan)

    def clean_up() -> None:
        os.close(start)
        if keep:
            storage.unlink(repo.path("sandboxes", id, "state"), step="sandbox-state-remove")
        else:
            remove_sandbox_folder(repo, id)

    with _afterwards(clean_up):
        upper = prepare_upper(repo, id, plan)
        _note_mounts(repo, request, os.path.dirname(upper.upper), oid)
        root = overlay_of(repo, plan, upper, volatile=not keep)
        return _run(repo, request, plan, id, root, "-", (start,), stdio, beside)


def prepare_upper(repo: Repository, id: str, plan: Plan) -> Upper:
    """Make the upper and work directories of a sandbox over a revision, unless they are there."""
    upper = sandbox_upper(repo, id)
    storage.make_directory(os.path.dirname(upper.upper), step="sandbox-folder", parents=True)
    if os.path.isdir(upper.work):
        return upper
    for path in (upper.upper, upper.work):  # in this order: a killed start leaves no `work` without a finished `upper`
        if path == upper.work and plan.layers:
            copy_root_attributes(repo, os.fsdecode(repo.cache.layer_path(plan.layers[0])), upper.upper)
        storage.make_directory(path, step="sandbox-folder", mode=0o755)
        if repo.disk_ids.shift:
            os.chown(path, repo.disk_ids.to_disk(0), repo.disk_ids.to_disk(0))
    return upper


def _run_in_worktree(
    repo: Repository,
    request: RunRequest,
    found: tuple[bytes, Plan],
    id: str,
    stdio: tuple[int, int, int],
    beside: Companions | None,
    keep: bool,
) -> int:
    plan, upper, shared, start = _settle(repo, *found)

    def clean_up() -> None:
        os.close(shared)
        os.close(start)
        if keep:
            storage.unlink(repo.path("sandboxes", id, "state"), step="sandbox-state-remove")
        else:
            remove_state(repo, id)

    with _afterwards(clean_up):
        _note_mounts(repo, request, os.path.dirname(upper.upper), _worktree_pointer(repo).base)
        with _mounting(upper) as mounting:
            until_started = (mounting, start)
            tries = _JOIN_TRIES
            while (live := find_live(repo, upper.id)) is not None:
                try:
                    joined = LiveRoot(live.pid, live.start_time)
                    return _run(repo, request, plan, id, joined, upper.id, until_started, stdio, beside)
                except SandboxError as error:  # when it is just ending: its namespaces are gone before its process is
                    tries -= 1
                    if type(error) is not SandboxError or not tries or not wait_until_gone(live):
                        raise
            root = overlay_of(repo, plan, upper, volatile=False)
            return _run(repo, request, plan, id, root, upper.id, until_started, stdio, beside)


@contextmanager
def _afterwards(clean_up: Callable[[], None]) -> Iterator[None]:
    """Clean up whatever happens; when something went wrong, an error of the cleaning does not hide it."""
    try:
        yield
    except BaseException:
        with suppress(OSError, StorageError):
            clean_up()
        raise
    clean_up()


def mounted_layers(mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Return the names of the layers of mounted revisions: the state names them beside the root's, so that gc keeps them."""
    return tuple(
        os.fsdecode(path).split("/")[-2] for path in dict.fromkeys(path for each in mounts for path in each.layers)
    )


def _note_mounts(repo: Repository, request: RunRequest, folder: str, base: bytes) -> None:
    """Note beside the changes what is mounted over them: a commit says so."""
    if request.mounts or request.volumes_from:
        from envgit.sandbox.mount_notes import note_mounts
        from envgit.sandbox.mounts import all_mounts

        note_mounts(folder, base, all_mounts(repo, request.mounts, request.volumes_from))


def _settle(repo: Repository, base: bytes, plan: Plan) -> tuple[Plan, Upper, int, int]:
    """Return what to mount, a lock on the upper directory and one on the layers, all of the same moment.

    `base` and `plan` are as they were a moment ago. A commit may move the base and turn the upper directory into a layer
    between any two looks; not while the lock is held.
    """
    while True:
        pointer, upper = _ensure_upper(repo, _worktree_pointer(repo), plan)
        shared = lock_upper(upper, exclusive=False, wait=True)
        assert shared is not None
        if pointer.base == base and _worktree_pointer(repo) == pointer:
            start = lock_starts(repo)
            if find_plan(repo, base) == plan:
                return plan, upper, shared, start
            os.close(start)
        os.close(shared)
        base = _worktree_pointer(repo).base
        plan = ensure_plan(repo, base)


def hold_plan(repo: Repository, oid: bytes, plan: Plan | None = None) -> tuple[Plan, int]:
    """Return the plan of a commit and a lock that keeps gc away from its layers. `plan`: as it was a moment ago."""
    while True:
        plan = plan or ensure_plan(repo, oid)
        start = lock_starts(repo)
        if find_plan(repo, oid) == plan:
            return plan, start
        os.close(start)
        plan = None


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


def overlay_of(repo: Repository, plan: Plan, upper: Upper, *, volatile: bool) -> OverlayRoot:
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
    stdio: tuple[int, int, int],
    beside: Companions | None,
) -> int:
    """Run in a sandbox; the locks `until_started` are let go when others can find it."""
    if request.runtime:
        from envgit.sandbox.foreign import narrow_request

        request = narrow_request(request, repo.monitor.warn, foreground=stdio == (0, 1, 2) and beside is None)
    described = describe(repo, request, plan, root)

    def started(pid: int, start_time: int) -> None:
        write_state(
            repo, SandboxState(id, pid, start_time, upper_id, (*plan.layers, *mounted_layers(described.spec.mounts)))
        )
        for fd in until_started:
            fcntl.flock(fd, fcntl.LOCK_UN)

    def created(paths: tuple[bytes, ...]) -> None:
        if isinstance(root, OverlayRoot) and root.volatile:  # thrown away: no commit will ask
            return
        from envgit.sandbox.mount_notes import note_created

        note_created(repo.path("sandboxes", id) if upper_id == "-" else repo.path("uppers", upper_id), paths)

    repo.cache.touch(plan.layers[:1])
    spec, warn = described.spec, repo.monitor.warn
    if request.runtime:
        from envgit.sandbox.foreign import start_with_runtime

        return start_with_runtime(request, spec, started, warn)
    if not described.needs_companions:
        return run(spec, stdio=stdio, companions=beside, on_started=started, on_created=created, on_warning=warn)
    from envgit.sandbox.companions import RunCompanions

    companions = RunCompanions(request, described.way, plan.ports, id, beside, repo.monitor)
    try:
        spec = companions.limit(spec)
        return run(spec, stdio=stdio, companions=companions, on_started=started, on_created=created, on_warning=warn)
    finally:
        companions.close()

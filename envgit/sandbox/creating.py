"""Making the record of a sandbox, before anything of it runs."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from envgit.errors import EnvgitError, UsageError
from envgit.exec.cgroups.limits import make_limits
from envgit.layers.plan_file import Plan
from envgit.repo import Repository
from envgit.sandbox.describing import check_hostname, choose_capabilities, inherited_variables
from envgit.sandbox.names import check_name, make_name
from envgit.sandbox.record import Record
from envgit.sandbox.registry import REF_PREFIX, check_name_free, names_locked, names_taken, write_record
from envgit.sandbox.removing import remove_held
from envgit.sandbox.request import RunRequest
from envgit.sandbox.restart_policy import parse_restart_policy
from envgit.sandbox.running import new_id
from envgit.sandbox.state import lock_starts
from envgit.sandbox.status import Status, write_status
from envgit.sandbox.stop_signal import parse_signal
from envgit.stack import ensure_plan
from envgit.store import storage
from envgit.worktree import worktree_name


def create_sandbox(repo: Repository, request: RunRequest) -> Record:
    """Record a sandbox: its name is taken, its commit is kept from gc. Raises Conflict for a name that is taken, InvalidName,
    UsageError and what resolving the revision raises; then there is nothing."""
    _check(request)
    if request.revision is not None:
        oid, worktree = repo.resolve_bytes(request.revision), ""
    else:
        oid, worktree = _worktree_base(repo), worktree_name(repo.branch_name())
    plan = ensure_plan(repo, oid)
    if plan.asked and not request.settled:
        from envgit.sandbox.grants import settle_request

        request = settle_request(repo, request, plan.asked)
        _check(request)
    request = _own_all_mounts(repo, request)
    caller = inherited_variables(repo)
    id = new_id()
    starting = lock_starts(repo)  # gc takes a reference without a record for what a killed command left
    try:
        with names_locked(repo):
            taken = names_taken(repo)
            name = request.name or make_name(id, taken)
            check_name_free(repo, name, taken)
            record = Record(
                id=id,
                name=name,
                request=request._replace(name=name),
                oid=oid.hex(),
                worktree=worktree,
                created_ns=time.time_ns(),
                command=_shown_command(request, plan),
                caller=tuple(caller.items()),
            )
            _write(repo, record)
    finally:
        os.close(starting)
    return record


def _own_all_mounts(repo: Repository, request: RunRequest) -> RunRequest:
    """Take the mounts of other sandboxes over, as they are now: later those may be gone, or others have their names."""
    if not request.volumes_from:
        return request
    from envgit.sandbox.mounts import all_mounts

    return request._replace(mounts=all_mounts(repo, request.mounts, request.volumes_from), volumes_from=())


def _write(repo: Repository, record: Record) -> None:
    """Keep the commit, make the folder, and last the record, which is what makes it a sandbox's."""
    try:
        repo.refs.update(REF_PREFIX + record.id, bytes.fromhex(record.oid), None)
        storage.make_directory(repo.path("sandboxes", record.id), step="sandbox-folder", parents=True, durable=True)
        write_status(repo, record.id, Status())
        write_record(repo, record)
    except BaseException:
        with suppress(EnvgitError, OSError):
            remove_held(repo, record.id)
        raise


def _check(request: RunRequest) -> None:
    """Refuse what would fail at the first start, or worse, at a later one."""
    if request.name is not None:
        check_name(request.name)
    policy = parse_restart_policy(request.restart)
    if request.remove and policy.kind != "no":
        raise UsageError("--rm and --restart contradict each other", hint="leave one of them out")
    if policy.kind != "no" and not request.detach:
        raise UsageError(
            "--restart is for sandboxes in the background", hint=f"envgit run -d --restart {request.restart} ..."
        )
    if request.stop_signal:
        parse_signal(request.stop_signal)
    check_hostname(request.hostname or "")
    choose_capabilities(request.cap_add, request.cap_drop)
    make_limits(*request.limits)


def _worktree_base(repo: Repository) -> bytes:
    pointer = repo.read_pointer(repo.branch_name(), repo.read_head().oid)
    if pointer is None:
        raise UsageError(
            f"branch {repo.branch_name()} has no environment yet", hint="make one: envgit import --from host"
        )
    return pointer.base


def _shown_command(request: RunRequest, plan: Plan) -> tuple[str, ...]:
    program = (request.entrypoint,) if request.entrypoint else plan.entrypoint
    return (*program, *(request.command or (() if request.entrypoint else plan.cmd))) or ("/bin/sh",)

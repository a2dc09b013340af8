"""Save: the changes of a sandbox over a revision become a commit on a branch of its own."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from envgit.capturing import capture_upper
from envgit.errors import Conflict, StorageError, UsageError
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.sandbox.request import RunRequest
from envgit.snapshot import UNIT_TRAILER, read_config_bytes, read_snapshot, write_snapshot
from envgit.store.ref_names import check_branch_name
from envgit.trees import PackTreeWriter


class SaveResult(NamedTuple):
    branch: str
    oid: str
    stored_bytes: int
    operation: int


def check_branch(repo: Repository, branch: str, base: bytes) -> None:
    """Raise InvalidName or Conflict when a commit on top of `base` cannot become the tip of `branch`."""
    check_branch_name(branch)
    tip = repo.refs.resolve(BRANCH_PREFIX + branch)
    if tip is not None and tip != base:
        raise Conflict(
            f"branch {branch} exists and is not at the revision that was run",
            hint="choose a new branch name, or run the branch itself",
        )
    if tip is not None and repo.branch_name() == branch:
        raise Conflict(f"{branch} is checked out", hint="choose a new branch name")


def save_upper(
    repo: Repository,
    upper: str,
    base: bytes,
    branch: str,
    command: Sequence[str],
    message: str | None = None,
    request: RunRequest | None = None,
    sign: str | bool | None = None,
) -> SaveResult:
    """Commit what lies in an upper directory over the commit `base`, and make `branch` point to it.

    With `request` the commit says what was run (docs/build.md), where that says everything.
    Atomic and durable when it returns; the upper directory stays as it is. Without `message` the command is the message. The
    process is in the tree namespace afterwards. Raises Conflict for a branch that is elsewhere.
    """
    with repo.operation(["save", branch]) as transaction, repo.signer(sign) as signer:
        check_branch(repo, branch, base)
        repo.enter_tree_namespace()
        old = read_snapshot(repo.objects, base)
        text = message or "run " + (shlex.join(command) if command else "the environment's command")
        with repo.objects.pack_session() as session:
            try:
                fd = os.open(upper, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError as error:
                raise StorageError(f"the changes in {upper} cannot be opened: {error.strerror}") from error
            try:
                captured = capture_upper(repo, fd, old.root, repo.reader, PackTreeWriter(session))
            finally:
                os.close(fd)
            config = read_config_bytes(repo.objects, old)
            oid = write_snapshot(
                session,
                captured.root,
                config,
                text.encode("utf-8", "surrogateescape"),
                parents=(base,),
                author=repo.author(),
                committer=repo.committer(),
                keep=old.tree_entries,
                trailers=_unit_trailers(request, config) if request is not None else (),
                sign=signer,
            )
            packed = session.finish()
        transaction.set_ref(BRANCH_PREFIX + branch, oid)
        done = transaction.finish(f"save: {text.splitlines()[0]}")
    return SaveResult(branch, oid.hex(), packed.bytes, done.number)


def _unit_trailers(request: RunRequest, config: bytes) -> tuple[bytes, ...]:
    """Return the trailer that says what was run, as a build's does; none when other things had a part in it.

    Variables had: their values may be secrets, which no commit is to hold.
    """
    from envgit.building.key import format_record
    from envgit.building.record import record_of
    from envgit.building.unit import Run
    from envgit.environment_config import parse_config

    if request.env or request.mounts or request.volumes_from or request.publish or request.add_hosts:
        return ()
    found = parse_config(config)
    entrypoint = found.entrypoint if request.entrypoint is None else tuple(filter(None, (request.entrypoint,)))
    argv = (*entrypoint, *(request.command or found.cmd))
    run = Run(argv, workdir=request.workdir or "", user=request.user or "", network=request.network or "")
    return (UNIT_TRAILER + format_record(record_of(run)).encode("ascii"),)


def save_sandbox(
    repo: Repository, word: str, branch: str, message: str | None, *, sign: str | bool | None = None
) -> SaveResult:
    """Commit the changes of a recorded sandbox over a revision on `branch`; it may be running, and goes on.

    Raises UnknownSandbox, UsageError for a sandbox of the worktree, whose changes an ordinary commit records, and as save_upper().
    """
    from envgit.sandbox.registry import find_sandbox
    from envgit.sandbox.running import sandbox_upper

    record = find_sandbox(repo, word).record
    if record.worktree:
        raise UsageError(f"{record.name} works in the worktree", hint="envgit commit")
    upper = sandbox_upper(repo, record.id).upper
    return save_upper(repo, upper, bytes.fromhex(record.oid), branch, record.command, message, sign=sign)

"""Removing sandboxes that do not run: the record first, so a kill on the way leaves rubbish for gc and nothing half there."""

from __future__ import annotations

import os
from contextlib import suppress

from envgit.errors import Conflict, RefMoved, UnknownSandbox
from envgit.repo import Repository
from envgit.sandbox.liveness import hold_sandbox
from envgit.sandbox.record import Record
from envgit.sandbox.registry import (
    REF_PREFIX,
    Found,
    find_damaged_one,
    find_sandbox,
    is_id,
    kill_leftover,
    list_sandboxes,
    remove_group,
)
from envgit.sandbox.running import remove_sandbox_folder
from envgit.sandbox.stopping import kill_sandbox
from envgit.store import storage
from envgit.store.refs import DELETION


def remove_sandbox(repo: Repository, word: str, *, force: bool = False, with_volumes: bool = False) -> Found:
    """Remove a sandbox with its changes and its log. Raises UnknownSandbox; Conflict when it runs, unless `force` kills it.

    With `force` and by its id, also one whose record is damaged.
    `with_volumes`: its anonymous volumes too, unless another sandbox has them.
    """
    damaged = find_damaged_one(repo, word) if force else None
    found = damaged or find_sandbox(repo, word)
    if damaged and not damaged.monitor:
        _end_leftover(damaged)
    if found.monitor:
        if not force:
            raise Conflict(f"{found.name} is {found.phase}", hint=f"stop it first: envgit stop {found.name}; or: rm -f")
        kill_sandbox(repo, found)
    with suppress(UnknownSandbox):  # it was to be removed at its end
        remove_unused(repo, found.id)
    if with_volumes:
        remove_own_volumes(repo, found.record)
    return found


def _end_leftover(found: Found) -> None:
    kill_leftover(found.status)
    remove_group(found.id, found.status)


def prune_sandboxes(repo: Repository) -> tuple[Found, ...]:
    """Remove every sandbox that does not run; return them. One that starts meanwhile is left, and one that is damaged, with a
    warning."""
    removed = []
    for found in list_sandboxes(repo):
        if found.damage:
            repo.monitor.warn(f"{found.id} is damaged and was left: {found.damage}; envgit rm -f {found.id} removes it")
        elif not found.monitor:
            with suppress(Conflict, UnknownSandbox):
                remove_unused(repo, found.id)
                removed.append(found)
    return tuple(removed)


def remove_unused(repo: Repository, id: str) -> None:
    """Remove what is recorded of a sandbox. Raises Conflict when a monitor has it."""
    held = hold_sandbox(repo, id)
    if held is None:
        if not os.path.exists(repo.path("sandboxes", id)):
            raise UnknownSandbox(f"{id} was removed by another command")
        raise Conflict(f"{id} runs, or is in use by another command", hint=f"stop it first: envgit stop {id}")
    try:
        remove_held(repo, id)
    finally:
        os.close(held)


def remove_held(repo: Repository, id: str) -> None:
    """Remove what is recorded of a sandbox whose lock this process holds."""
    record = repo.path("sandboxes", id, "record.json")
    if os.path.isdir(record) and not os.path.islink(record):  # damaged
        storage.rename(record, f"{record}.damaged", step="sandbox-remove")
    else:
        storage.unlink(record, step="sandbox-remove")
    forget_ref(repo, id)
    remove_sandbox_folder(repo, id)


def remove_own_volumes(repo: Repository, record: Record) -> None:
    """Remove the anonymous volumes of a sandbox that was removed."""
    names = [mount.source for mount in record.request.mounts if mount.kind == "volume"]
    if names:
        from envgit.sandbox.named_volumes import remove_anonymous

        remove_anonymous(repo, names)


def forget_ref(repo: Repository, id: str) -> None:
    """Let gc have the commit of a sandbox that is recorded no more.

    The caller makes sure that nobody else changes the reference, so a lock of it was left by a killed command.
    """
    name = REF_PREFIX + id
    oid = repo.refs.resolve(name)
    repo.refs.remove_stale_lock(name, DELETION)
    if oid is not None:
        with suppress(RefMoved):
            repo.refs.update(name, None, oid)


def forget_leftovers(repo: Repository) -> None:
    """Remove references, and locks of them, that killed commands left of sandboxes of which nothing else is left.

    Call it while no sandbox can be made (lock_starts, exclusive).
    """
    try:
        names = os.listdir(repo.path(*REF_PREFIX.rstrip("/").split("/")))
    except FileNotFoundError:
        return
    for id in {name.removesuffix(".lock") for name in names}:
        if is_id(id) and not os.path.exists(repo.path("sandboxes", id)):
            path = repo.path(*(REF_PREFIX + id).split("/")) + ".lock"
            storage.unlink(path, step="sandbox-unlock")
            forget_ref(repo, id)

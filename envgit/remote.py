"""Remotes: add, remove, rename, look at them."""

from __future__ import annotations

import os
from contextlib import closing
from typing import NamedTuple

from envgit.remotes.configuration import (
    TRACKING_PREFIX,
    Remote,
    add_remote,
    forget_remote,
    list_remotes,
    rename_in_configuration,
    require_remote,
    set_remote_url,
)
from envgit.remotes.opening import address_of, choose_remote, open_way, parse_place
from envgit.repo import BRANCH_PREFIX, TAG_PREFIX, Repository
from envgit.store import storage


class RemoteView(NamedTuple):
    """What a remote has, asked now. `branches` and `tags`: (name, id as 20 bytes); `state` of a branch by what is known here:
    "new", "same", "moved"; `gone`: remembered branches that it no longer has."""

    remote: Remote
    head: str | None
    branches: tuple[tuple[str, bytes, str], ...]
    tags: tuple[tuple[str, bytes], ...]
    gone: tuple[str, ...]


def read_remotes(repo: Repository) -> tuple[Remote, ...]:
    """Return all remotes in name order."""
    return list_remotes(repo)


def create_remote(repo: Repository, name: str, url: str) -> Remote:
    """Add a remote. The address is checked, and a relative path made absolute; nobody is asked. Raises Conflict, BadAddress."""
    return add_remote(repo, name, parse_place(url, os.getcwd()).url)


def change_url(repo: Repository, name: str, url: str, *, push: bool = False) -> Remote:
    """Say where a remote is (or where pushes go). Raises UnknownRemote, BadAddress."""
    set_remote_url(repo, name, parse_place(url, os.getcwd()).url, push=push)
    return require_remote(repo, name)


def remove_remote(repo: Repository, name: str) -> int:
    """Forget a remote with what is remembered of its refs; return how many those were."""
    require_remote(repo, name)
    prefix = f"{TRACKING_PREFIX}{name}/"
    _drop_head(repo, name)
    names = [ref for ref, _ in repo.refs.iter_refs(prefix)]
    if names:
        with repo.operation(["remote", "remove", name]) as transaction:
            for ref in names:
                transaction.set_ref(ref, None)
            transaction.finish(f"remote remove {name}")
    forget_remote(repo, name)
    return len(names)


def rename_remote(repo: Repository, old: str, new: str) -> int:
    """Give a remote another name; what is remembered of its refs goes along. Return how many refs those were."""
    rename_in_configuration(repo, old, new)
    _drop_head(repo, old)
    moved = list(repo.refs.iter_refs(f"{TRACKING_PREFIX}{old}/"))
    if moved:
        with repo.operation(["remote", "rename", old, new]) as transaction:
            for ref, oid in moved:
                transaction.set_ref(ref, None)
                transaction.set_ref(f"{TRACKING_PREFIX}{new}/{ref.removeprefix(f'{TRACKING_PREFIX}{old}/')}", oid)
            transaction.finish(f"remote rename {old} {new}")
    return len(moved)


def look_at_remote(repo: Repository, name: str) -> RemoteView:
    """Ask a remote (name or address) what it has. Raises TransferError and its kinds."""
    remote = choose_remote(repo, name)
    with closing(open_way(repo, address_of(repo, remote.url), "fetch")) as way:
        advertised = way.list_refs()
    branches = []
    for ref, oid in sorted(advertised.refs.items()):
        if ref.startswith(BRANCH_PREFIX):
            tracking = remote.tracking(ref)
            known = repo.refs.resolve(tracking) if tracking else None
            state = "new" if known is None else "same" if known == oid else "moved"
            branches.append((ref.removeprefix(BRANCH_PREFIX), oid, state))
    tags = tuple(
        (ref.removeprefix(TAG_PREFIX), oid)
        for ref, oid in sorted(advertised.refs.items())
        if ref.startswith(TAG_PREFIX)
    )
    prefix = f"{TRACKING_PREFIX}{remote.name}/"
    live = {remote.tracking(ref) for ref in advertised.refs}
    remembered = [ref for ref, _ in repo.refs.iter_refs(prefix)] if remote.name else []
    gone = tuple(ref.removeprefix(prefix) for ref in remembered if ref not in live and ref != prefix + "HEAD")
    head = advertised.head.removeprefix(BRANCH_PREFIX) if advertised.head else None
    return RemoteView(remote, head, tuple(branches), tags, gone)


def _drop_head(repo: Repository, name: str) -> None:
    """Remove the symbolic `refs/remotes/NAME/HEAD`, which no transaction moves."""
    storage.unlink(repo.path(TRACKING_PREFIX, name, "HEAD"), step="remote-head-remove")

"""Clone: a new repository with the history of another one."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from typing import NamedTuple

from envgit.errors import Conflict, StorageError, UnknownRevision, UsageError
from envgit.fetch import FetchOptions, FetchResult, fetch
from envgit.monitor import Monitor
from envgit.remotes.configuration import TRACKING_PREFIX, add_remote, set_upstream
from envgit.remotes.opening import open_way, parse_place
from envgit.repo import BRANCH_PREFIX, DIRECTORY_NAME, TAG_PREFIX, Repository
from envgit.snapshot import read_snapshot
from envgit.store import storage
from envgit.store.revisions import resolve_commit
from envgit.suggestion import did_you_mean
from envgit.transfer.address import Address

_UNFINISHED = ".envgit-clone-"


class CloneOptions(NamedTuple):
    """`branch`: what to check out, a branch or a tag; None is what HEAD is there. `depth`: commits of each branch."""

    branch: str | None = None
    depth: int | None = None
    single_branch: bool = False
    tags: bool = True
    origin: str = "origin"


class CloneResult(NamedTuple):
    """`branch` None: HEAD is at the tag that was asked for. `oid` None: the other repository is empty."""

    path: str
    branch: str | None
    oid: str | None
    fetched: FetchResult


def clone(
    source: str, path: str | None, environ: Mapping[str, str], monitor: Monitor, options: CloneOptions | None = None
) -> CloneResult:
    """Make `path/.envgit` (None: the source's name, in the working directory) with every branch and tag of `source`.

    Whole or not at all: it is made under another name and renamed at the end; what a killed clone left is removed by the next
    one to the same place. Raises Conflict when something is there, and what fetch raises.
    """
    options = options or CloneOptions()
    address = parse_place(source, os.getcwd())
    project = os.path.abspath(path if path is not None else default_path(address))
    existed = os.path.isdir(project)
    _refuse_taken(project, path)
    storage.make_directory(project, step="clone-project", mode=0o777, parents=True)
    _remove_unfinished(project)
    building = storage.temporary_name(project, _UNFINISHED)
    storage.make_directory(building, step="clone-folder", mode=0o700)
    lock = os.open(building, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = _make(building, address, environ, monitor, options)
        git_dir = os.path.join(project, DIRECTORY_NAME)
        try:
            storage.rename(os.path.join(building, DIRECTORY_NAME), git_dir, step="clone-rename")
        except StorageError:
            _refuse_taken(project, path)  # another clone was quicker
            raise
        storage.sync_directory(project, step="clone-sync")
        return made._replace(path=git_dir)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        if not existed:
            with suppress(OSError):
                os.rmdir(project)
        raise
    finally:
        os.close(lock)
        with suppress(OSError):
            os.rmdir(building)


def default_path(address: Address) -> str:
    """Return the folder that a clone goes to when none is named: the last part of the address, as git does it."""
    path = address.path.rstrip("/").removesuffix(f"/{DIRECTORY_NAME}").rstrip("/")
    name = os.path.basename(path).removesuffix(".git").removesuffix(".bundle")
    name = "".join(character if character.isprintable() else "-" for character in name)
    if not name or name in (".", ".."):
        raise UsageError(
            f"{address.shown} does not say how to call the clone",
            hint=f"name a folder: envgit clone {address.shown} DIR",
        )
    return name


def _refuse_taken(project: str, path: str | None) -> None:
    where = path or os.path.basename(project)
    if os.path.lexists(os.path.join(project, DIRECTORY_NAME)):
        raise Conflict(
            f"{where} is an envgit repository already",
            hint=f"update it: envgit -C {where} pull; or clone to another folder",
        )
    if os.path.lexists(project) and not os.path.isdir(project):
        raise Conflict(f"{where} exists and is no folder", hint="name another one: envgit clone SOURCE DIR")


def _remove_unfinished(project: str) -> None:
    """Remove what killed clones left; that of a living one is flocked."""
    for name in os.listdir(project):
        if not name.startswith(_UNFINISHED):
            continue
        folder = os.path.join(project, name)
        with suppress(OSError):
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(fd)


def _make(
    folder: str, address: Address, environ: Mapping[str, str], monitor: Monitor, options: CloneOptions
) -> CloneResult:
    repo = Repository.create_(folder, "main", environ, monitor)
    only = _choose_there(repo, address, options) if options.single_branch else None
    add_remote(repo, options.origin, address.url, only=only)
    tags = "none" if not options.tags else None if options.single_branch else "free"
    fetched = fetch(repo, options.origin, FetchOptions(tags=tags, depth=options.depth))
    branch, oid = _check_out(repo, fetched, options)
    if fetched.head is not None and branch is not None:
        _note_head(repo, options.origin, fetched.head)
    if oid is not None:
        read_snapshot(repo.objects, oid)
    return CloneResult("", branch, oid.hex() if oid else None, fetched)


def _choose_there(repo: Repository, address: Address, options: CloneOptions) -> str | None:
    """Return the branch or tag to fetch alone: the one asked for, else HEAD there, where that has commits, else the first one.

    None where there is none. Raises UnknownRevision.
    """
    with closing(open_way(repo, address, "fetch")) as way:
        advertised = way.list_refs()
    names = {_short(name) for name in advertised.refs if name.startswith((BRANCH_PREFIX, TAG_PREFIX))}
    if options.branch:
        if options.branch not in names:
            raise _no_such_branch(address.shown, options.branch, names)
        return options.branch
    if advertised.head in advertised.refs:
        return _short(advertised.head or "")
    return _first_of({_short(name) for name in advertised.refs if name.startswith(BRANCH_PREFIX)})


def _short(name: str) -> str:
    return name.removeprefix(BRANCH_PREFIX).removeprefix(TAG_PREFIX)


def _first_of(branches: Collection[str]) -> str | None:
    return next((name for name in ("main", "master", *sorted(branches)) if name in branches), None)


def _no_such_branch(url: str, wanted: str, names: Collection[str]) -> UnknownRevision:
    hint = did_you_mean(wanted, names) or f"there are: {', '.join(sorted(names)) or 'none'}"
    return UnknownRevision(f"{url} has no branch or tag {wanted!r}", hint=hint)


def _check_out(repo: Repository, fetched: FetchResult, options: CloneOptions) -> tuple[str | None, bytes | None]:
    """Put HEAD where it is to be, with a branch that follows its like."""
    tracking = f"{TRACKING_PREFIX}{options.origin}/"
    found = {
        name.removeprefix(tracking): oid for name, oid in repo.refs.iter_refs(tracking) if name != tracking + "HEAD"
    }
    wanted = options.branch or _short(fetched.head or "")
    if not options.branch and wanted not in found:
        wanted = _first_of(found) or wanted or "main"
    with repo.operation(["clone", fetched.url]) as transaction:
        if wanted in found:
            transaction.set_ref(BRANCH_PREFIX + wanted, found[wanted])
            transaction.set_head(BRANCH_PREFIX + wanted)
            transaction.finish(f"clone: from {fetched.url}")
            set_upstream(repo, wanted, options.origin, BRANCH_PREFIX + wanted)
            return wanted, found[wanted]
        tag = repo.refs.resolve(TAG_PREFIX + wanted)
        if tag is not None:
            oid = resolve_commit(repo.objects, repo.refs, TAG_PREFIX + wanted)
            transaction.set_head(oid.hex())
            transaction.finish(f"clone: from {fetched.url}")
            return None, oid
        if found or options.branch:
            raise _no_such_branch(fetched.url, wanted, found)
        transaction.set_head(BRANCH_PREFIX + wanted)
        transaction.finish(f"clone: from {fetched.url}")
    set_upstream(repo, wanted, options.origin, BRANCH_PREFIX + wanted)
    return wanted, None


def _note_head(repo: Repository, origin: str, head: str) -> None:
    """Write what `origin` alone stands for as a revision: the branch that HEAD is there."""
    target = f"{TRACKING_PREFIX}{origin}/{head.removeprefix(BRANCH_PREFIX)}"
    if repo.refs.resolve(target) is not None:
        with suppress(StorageError):
            storage.write_file(
                repo.path(f"{TRACKING_PREFIX}{origin}/HEAD"), b"ref: " + os.fsencode(target) + b"\n", step="clone-head"
            )

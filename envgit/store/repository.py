"""A repository's folder: created whole or not at all, checked before anything in it is believed."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from envgit.errors import Conflict
from envgit.store import storage
from envgit.store.admission import FORMAT_FEATURE
from envgit.store.admission import check_repository as check_repository
from envgit.store.lock import RepositoryLock
from envgit.store.object_store import ObjectStore
from envgit.store.ref_names import check_branch_name
from envgit.store.refs import RefStore

_CONFIG = b"""\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tlogAllRefUpdates = true
\tfsync = committed,reference
\tfsyncMethod = fsync
[gc]
\tauto = 0
[receive]
\tdenyNonFastForwards = false
[transfer]
\tfsckObjects = true
\thideRefs = refs/envgit
"""
_FOLDERS = (
    "objects",
    "objects/info",
    "objects/pack",
    "refs",
    "refs/heads",
    "refs/tags",
    "info",
    "hooks",
    "logs",
    "operations",
    "layers",
    "checkouts",
    "sandboxes",
)


@dataclass(frozen=True, slots=True)
class GitRepository:
    """The open store of one repository."""

    git_dir: str
    objects: ObjectStore
    refs: RefStore

    def lock(self) -> RepositoryLock:
        """Return the (not yet acquired) lock of the repository's writers."""
        return RepositoryLock(self.git_dir + "/lock")


def create_bare(git_dir: str, branch: str = "main") -> GitRepository:
    """Create an empty repository (mode 0700) whose HEAD is the unborn `branch`, durably, without a git binary.

    Built beside its place and renamed, so a killed one leaves nothing that looks like a repository. Raises
    Conflict when there is something of that name, StorageError.
    """
    target = check_branch_name(branch)
    git_dir = os.path.abspath(git_dir)
    if os.path.lexists(git_dir):
        raise Conflict(f"{git_dir} exists already")
    parent = os.path.dirname(git_dir)
    temporary = storage.temporary_name(parent, ".envgit-new-")
    storage.make_directory(temporary, step="create-folder", mode=0o700)
    try:
        for folder in _FOLDERS:
            storage.make_directory(f"{temporary}/{folder}", step="create-subfolder")
        files = {
            "config": _CONFIG,
            "description": b"An environment's history, kept by envgit.\n",
            "info/exclude": b"",
            ".gitignore": b"*\n",
            "requires": FORMAT_FEATURE.encode() + b"\n",
            "lock": b"",
            "HEAD": b"ref: " + os.fsencode(target) + b"\n",
        }
        for name, content in files.items():
            storage.write_file(f"{temporary}/{name}", content, step="create-file")
        storage.sync_directory(temporary, step="create-sync")
        storage.rename(temporary, git_dir, step="create-rename")
    except BaseException:
        _remove_tree(temporary)
        raise
    storage.sync_directory(parent, step="create-parent-sync")
    return open_(git_dir)


def _remove_tree(path: str) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)


def open_(git_dir: str, *, trusted_uids: Collection[int] = ()) -> GitRepository:
    """Open a repository after check_repository()."""
    check_repository(git_dir, trusted_uids=trusted_uids)
    return GitRepository(git_dir, ObjectStore(git_dir), RefStore(git_dir))

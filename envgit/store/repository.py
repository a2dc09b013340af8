"""A repository's folder: created whole or not at all, checked before anything in it is believed."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from envgit.errors import Conflict, NotARepository, StorageError, UnsupportedRepository
from envgit.store import storage
from envgit.store.lock import RepositoryLock
from envgit.store.object_store import ObjectStore
from envgit.store.ref_names import check_branch_name
from envgit.store.refs import RefStore

FORMAT_FEATURE = "envgit-format-1"
KNOWN_FEATURES = frozenset({FORMAT_FEATURE})

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
    "worktrees",
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


def check_repository(git_dir: str, *, trusted_uids: Collection[int] = ()) -> None:
    """Check that a folder is a repository that may be used. Raises NotARepository; UnsupportedRepository for
    features that are not known and owners that are not trusted.

    Its folder must belong to the caller or to one of `trusted_uids`: configuration and refs of somebody else's
    repository would be believed (CVE-2022-24765).
    """
    try:
        status = os.stat(git_dir)
        with open(git_dir + "/requires", "rb") as file:
            features = os.fsdecode(file.read(65536)).split("\n")
    except (FileNotFoundError, NotADirectoryError):
        raise NotARepository(f"{git_dir} is not an envgit repository", hint="create one with 'envgit init'") from None
    except OSError as error:
        raise StorageError(f"cannot open {git_dir}: {error.strerror}") from error
    if status.st_uid != os.geteuid() and status.st_uid not in trusted_uids:
        raise UnsupportedRepository(
            f"{git_dir} belongs to user {status.st_uid}, not to you (user {os.geteuid()})",
            hint=f"work as that user, or take it over: chown -R {os.geteuid()} {git_dir}",
        )
    unknown = [feature for feature in features if feature and feature not in KNOWN_FEATURES]
    if unknown or FORMAT_FEATURE not in features:
        what = ", ".join(repr(feature) for feature in unknown) or f"(no {FORMAT_FEATURE})"
        raise UnsupportedRepository(
            f"{git_dir} requires {what}, which this version does not know", hint="use a newer envgit"
        )

"""Init: make a repository, and its first commit when a source is given; or make one of a clone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

from envgit.errors import Conflict, CorruptObject, UnknownRevision, UnsupportedRepository
from envgit.import_environment import ImportResult, import_environment
from envgit.layers.sources import Source
from envgit.monitor import Monitor
from envgit.repo import BRANCH_PREFIX, DIRECTORY_NAME, Repository
from envgit.snapshot import read_config_bytes, read_snapshot


class InitResult(NamedTuple):
    path: str
    branch: str
    reinitialised: bool
    imported: ImportResult | None
    adopted: bool = False
    """The folder was a bare clone that stock git made."""


def init_repository(
    path: str,
    environ: Mapping[str, str],
    monitor: Monitor,
    *,
    source: Source | None = None,
    branch: str = "main",
    message: str | None = None,
    stdin: BinaryIO | None = None,
    platform: str = "",
    squash: bool = False,
) -> InitResult:
    """Create `path/.envgit` on an unborn `branch`, and import `source` into it.

    An existing repository is left as it is, as git init does; with a source it must have no commits yet (Conflict). When
    the import fails, what this call created is removed again. A bare clone of an environment repository is adopted after
    a look at what it has (UnsupportedRepository).
    """
    project = os.path.abspath(path)
    git_dir = os.path.join(project, DIRECTORY_NAME)
    existed = os.path.isdir(git_dir)
    project_existed = os.path.isdir(project)
    adopted = existed and _adopt(git_dir, environ, monitor)
    if existed:
        repo = Repository.open_(project, environ, monitor)
        if source is not None and repo.read_head().oid is not None:
            raise Conflict(
                f"{project} is an envgit repository with commits already",
                hint=f"add a commit to it with: envgit -C {path} import --from ...",
            )
    else:
        repo = Repository.create_(project, branch, environ, monitor)
    try:
        imported = None
        if source is not None:
            imported = import_environment(repo, source, message=message, stdin=stdin, platform=platform, squash=squash)
    except BaseException:
        if not existed:
            shutil.rmtree(git_dir, ignore_errors=True)
            if not project_existed:
                os.rmdir(project)
        raise
    return InitResult(git_dir, repo.branch_name() or branch, existed, imported, adopted)


def _adopt(git_dir: str, environ: Mapping[str, str], monitor: Monitor) -> bool:
    """Make a bare clone a repository; False when the folder is none. Its tips must be readable environments."""
    from envgit.store.admission import admit, check_owner, is_bare_clone, refuse_lazy

    if not is_bare_clone(git_dir):
        return False
    check_owner(git_dir, os.stat(git_dir).st_uid)
    refuse_lazy(git_dir)
    repo = Repository(git_dir, environ, monitor)
    try:
        tips = {oid for _, oid in repo.refs.iter_refs(BRANCH_PREFIX)}
        head = repo.read_head().oid
        if head is not None:
            tips.add(head)
        for oid in sorted(tips):
            snapshot = read_snapshot(repo.objects, oid)
            read_config_bytes(repo.objects, snapshot)
            repo.reader.read_directory(snapshot.root)
            repo.reader.read_links(snapshot.root)
    except (CorruptObject, UnknownRevision) as error:
        raise UnsupportedRepository(
            f"{git_dir} is a git repository, but not one of environments: {error.message}",
            hint="make one elsewhere: envgit init DIR --from host",
        ) from error
    if not tips:
        raise UnsupportedRepository(
            f"{git_dir} is a git repository without branches: nothing says that it is one of environments",
            hint=f"fetch some first, or remove it: rmdir or rm -r {git_dir}",
        )
    admit(git_dir)
    return True

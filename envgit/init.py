"""Init: make a repository, and its first commit when a source is given."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import BinaryIO, NamedTuple

from envgit.errors import Conflict
from envgit.import_environment import ImportResult, import_environment
from envgit.layers.sources import Source
from envgit.monitor import Monitor
from envgit.repo import DIRECTORY_NAME, Repository


class InitResult(NamedTuple):
    path: str
    branch: str
    reinitialised: bool
    imported: ImportResult | None


def init_repository(
    path: str,
    environ: Mapping[str, str],
    monitor: Monitor,
    *,
    source: Source | None = None,
    branch: str = "main",
    message: str | None = None,
    stdin: BinaryIO | None = None,
) -> InitResult:
    """Create `path/.envgit` on an unborn `branch`, and import `source` into it.

    An existing repository is left as it is, as git init does; with a source it must have no commits yet (Conflict). When
    the import fails, what this call created is removed again.
    """
    project = os.path.abspath(path)
    git_dir = os.path.join(project, DIRECTORY_NAME)
    existed = os.path.isdir(git_dir)
    project_existed = os.path.isdir(project)
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
            imported = import_environment(repo, source, message=message, stdin=stdin)
    except BaseException:
        if not existed:
            shutil.rmtree(git_dir, ignore_errors=True)
            if not project_existed:
                os.rmdir(project)
        raise
    return InitResult(git_dir, repo.branch_name() or branch, existed, imported)

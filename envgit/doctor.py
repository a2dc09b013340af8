"""Doctor: what this machine lets envgit do, found out by trying."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from envgit.errors import EnvgitError
from envgit.exec.probe import Finding, probe_host
from envgit.monitor import NullMonitor
from envgit.repo import Repository
from envgit.sharing.probe import probe_sharing

__all__ = ["Finding", "diagnose"]


def diagnose(environ: Mapping[str, str], folder: str) -> tuple[Finding, ...]:
    """Return one Finding per capability; `fix` is the exact command for each that failed.

    What depends on a project is tried for the one that `folder` is in, if any.
    """
    git_dir: str | None = None
    with suppress(EnvgitError):
        git_dir = Repository.open_(folder, environ, NullMonitor()).git_dir
    shared = probe_sharing(git_dir, environ)
    return (*probe_host(), Finding("sharing", shared.works, shared.detail, shared.fix, required=False))

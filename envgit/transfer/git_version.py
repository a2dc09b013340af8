"""Whether the git in PATH can be used: asked once per program."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from envgit.monitor import NullMonitor
from envgit.transfer.errors import TransferError
from envgit.transfer.git_environment import find_git, git_variables, is_new_enough
from envgit.transfer.git_run import run_git, sending_limits

_SECONDS = 20.0


def usable_git(environ: Mapping[str, str]) -> str | None:
    """Return the path of a git that is new enough, None otherwise."""
    path = find_git(environ)
    return path if path is not None and _is_usable(path, environ.get("PATH", "")) else None


@lru_cache(maxsize=8)
def _is_usable(path: str, search: str) -> bool:
    try:
        done = run_git(
            path,
            ["--version"],
            git_variables({"PATH": search}),
            NullMonitor(),
            limits=sending_limits(),
            silent_seconds=_SECONDS,
        )
    except TransferError:
        return False
    return done.status == 0 and is_new_enough(done.out)

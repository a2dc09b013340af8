"""Running the user's git on the repository of the code, whichever repository a hook's environment speaks of."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from shutil import which
from typing import NamedTuple

from envgit.errors import UsageError
from envgit.exec.process import PYTHON_IGNORES, exit_status

LOCAL_VARIABLES = frozenset(
    (
        "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_OBJECT_DIRECTORY",
        "GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
        "GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR", "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_QUARANTINE_PATH",
    )
)  # fmt: skip
"""What `git rev-parse --local-env-vars` prints: variables that tie a process to one repository."""

_MOST_BYTES = 1 << 20
_SETTINGS = (
    "-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "-c", "i18n.logOutputEncoding=UTF-8",
    "-c", "protocol.allow=never", "-c", "protocol.ext.allow=never",
)  # fmt: skip
"""No program of the repository's configuration is started for a look, and nothing is added to what is printed."""
_VARIABLES = {
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_TERMINAL_PROMPT": "0",
}
"""Nothing is fetched for a look: what a partial clone lacks would come from a URL of its configuration, which may be a program
(ext::). git before 2.45 does not know GIT_NO_LAZY_FETCH; there no transport is allowed."""


class Answer(NamedTuple):
    """`out` and `error` hold at most the first MiB."""

    status: int
    out: bytes
    error: str

    @property
    def line(self) -> str:
        """The one line that was printed, or ""."""
        return os.fsdecode(self.out.removesuffix(b"\n"))


def run_git(folder: str, words: Sequence[str], environ: Mapping[str, str]) -> Answer:
    """Run `git -C folder WORDS` to its end. Raises UsageError when there is no git."""
    program = which("git", path=environ.get("PATH"))
    if program is None:
        raise UsageError("git, which keeps the code, was not found", hint="sudo apt install git")
    kept = {name: value for name, value in environ.items() if not _is_local(name)}
    variables = {**kept, **_VARIABLES}
    out, error = os.memfd_create("out"), os.memfd_create("error")
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out, 1),
            (os.POSIX_SPAWN_DUP2, error, 2),
        ]
        arguments = ["git", *_SETTINGS, "-C", folder, *words]
        pid = os.posix_spawn(program, arguments, variables, file_actions=actions, setsigdef=PYTHON_IGNORES)
        status = exit_status(os.waitpid(pid, 0)[1])
        said = os.pread(error, _MOST_BYTES, 0).decode("utf-8", "replace").strip()
        return Answer(status, os.pread(out, _MOST_BYTES, 0), said)
    finally:
        os.close(out)
        os.close(error)


def _is_local(name: str) -> bool:
    return name in LOCAL_VARIABLES or name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))

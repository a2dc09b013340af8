"""Which git is used, and what it finds in its environment: nothing that ties it to another repository."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from shutil import which
from typing import Final

from envgit.transfer.errors import TransferError

OLDEST: Final = (2, 39)
"""The first version with every setting below, and with the ownership checks of upload-pack in its last maintenance release."""

LOCAL_VARIABLES: Final = frozenset(
    (
        "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_OBJECT_DIRECTORY",
        "GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
        "GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR", "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_QUARANTINE_PATH", "GIT_NAMESPACE", "GIT_DEFAULT_HASH", "GIT_CEILING_DIRECTORIES",
    )
)  # fmt: skip
"""What `git rev-parse --local-env-vars` prints, and what else changes the meaning of a repository."""

PROTOCOLS: Final = ("file", "http", "https", "ssh")
"""All that may be spoken, also after url.*.insteadOf and redirects."""

_SETTINGS: Final = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.alternateRefsCommand", "true"),  # prints nothing: the quarantine has the tips in refs of its own
    ("fetch.fsckObjects", "true"),
    ("transfer.fsckObjects", "true"),
    ("fetch.unpackLimit", "1"),
    ("transfer.unpackLimit", "1"),
    ("fetch.writeCommitGraph", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.prune", "false"),
    ("fetch.pruneTags", "false"),
    ("fetch.uriProtocols", ""),
    ("fetch.bundleURI", ""),
    ("transfer.bundleURI", "false"),
    ("submodule.recurse", "false"),
    ("push.recurseSubmodules", "no"),
    ("push.followTags", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("pack.writeReverseIndex", "false"),
    ("pack.writeBitmapLookupTable", "false"),
    ("color.ui", "false"),
    ("credential.interactive", "auto"),
)
_OWN_SECTIONS: Final = (
    "http.",
    "credential.",
    "url.",
    "core.sshcommand",
    "core.gitproxy",
    "core.askpass",
    "ssh.",
    "protocol.",
)
"""What the repository's own configuration says about connections; a fetch runs in the quarantine, which has another one."""

_VERSION: Final = re.compile(rb"git version (\d+)\.(\d+)")


def find_git(environ: Mapping[str, str]) -> str | None:
    """Return the path of git, None when there is none in PATH."""
    return which("git", path=environ.get("PATH", os.defpath))


def is_new_enough(said: bytes) -> bool:
    """Return whether `git --version` speaks of a version with all that is needed."""
    match = _VERSION.match(said)
    return match is not None and (int(match[1]), int(match[2])) >= OLDEST


def clean_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's environment without what is local to a repository."""
    return {
        name: value
        for name, value in environ.items()
        if name not in LOCAL_VARIABLES and not name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))
    }


def git_variables(
    environ: Mapping[str, str], own: Sequence[tuple[str, str]] = (), *, terminal: bool = False
) -> dict[str, str]:
    """Return the environment for git: the caller's without what is local to a repository, with the settings above.

    `own`: settings of the repository that apply as well. A caller's GIT_ALLOW_PROTOCOL can only narrow what is allowed.
    """
    kept = clean_variables(environ)
    asked = kept.get("GIT_ALLOW_PROTOCOL")
    allowed = PROTOCOLS if asked is None else [each for each in PROTOCOLS if each in asked.split(":")]
    kept |= {
        "LC_ALL": "C",
        "LANGUAGE": "",
        "GIT_ALLOW_PROTOCOL": ":".join(allowed) or "none",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_FLUSH": "1",
        "GIT_MERGE_AUTOEDIT": "no",
    }
    if not terminal:
        kept["GIT_TERMINAL_PROMPT"] = "0"
    settings = [*own, *_SETTINGS]
    kept["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings):
        kept[f"GIT_CONFIG_KEY_{number}"] = key
        kept[f"GIT_CONFIG_VALUE_{number}"] = value
    return kept


def connection_settings(listed: bytes) -> tuple[tuple[str, str], ...]:
    """Return what `git config --local --list -z` says about connections."""
    found = []
    for entry in listed.split(b"\0"):
        key, newline, value = entry.partition(b"\n")
        name = os.fsdecode(key)
        if name.startswith(_OWN_SECTIONS):
            found.append((name, os.fsdecode(value) if newline else "true"))
    if len(found) > 10_000:
        raise TransferError("the repository's configuration has too many entries", hint="see .envgit/config")
    return tuple(found)


def has_terminal() -> bool:
    """Return whether somebody could be asked for a password."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True

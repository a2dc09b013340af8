"""Where a user's repositories share what they have: one folder of the user's, made when it is first needed.

    objects/pack/       packs, hard links of those in the repositories; `.idx` beside each
    used/PACK           stamp of its last use
    projects/HASH       the folder of a project's layers: who may lend a materialised one
    lock                flock(2): shared by who uses packs, exclusive by who drops some

All of it may be deleted at any time; no repository needs it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from envgit.errors import StorageError
from envgit.sharing.linking import why_not_own
from envgit.store import storage
from envgit.store.identity import read_sections

SETTING = "envgit.cache"
_OFF = ("off", "false", "no", "0", "none", "")
_DEFAULT = ("on", "true", "yes", "1")
_TAG = b"""\
Signature: 8a477f597d28d172789f06886806bc55
# This folder belongs to envgit and may be deleted at any time; see https://bford.info/cachedir/
"""


class Place(NamedTuple):
    """`problem`: why nothing is shared there, "" when something is. `path` is "" when the user switched it off."""

    path: str
    problem: str = ""


def find_place(git_dir: str, environ: Mapping[str, str]) -> Place:
    """Say where the shared folder of this user is or would be; changes nothing.

    `envgit.cache` of git's configuration (`off`, or an absolute path), else XDG_CACHE_HOME, else ~/.cache.
    """
    value = read_sections(git_dir, environ, ("envgit",)).get(SETTING)
    home = environ.get("HOME", "")
    if value is not None and value.lower() in _OFF:
        return Place("", f"{SETTING} is off")
    if value is not None and value.lower() not in _DEFAULT:
        path = home + value[1:] if value.startswith("~/") else value
        if not path.startswith("/"):
            return Place("", f"{SETTING}={value} is not an absolute path")
    else:
        above = environ.get("XDG_CACHE_HOME", "")
        if not above.startswith("/"):  # relative ones are to be ignored (XDG base directory specification)
            if not home.startswith("/"):
                return Place("", "HOME is not set")
            above = home + "/.cache"
        path = above + "/envgit"
    return Place(path, _problem(path))


def open_place(git_dir: str, environ: Mapping[str, str]) -> str | None:
    """Return the shared folder, made (mode 0700) when it is not there; None when nothing can be shared."""
    path, problem = find_place(git_dir, environ)
    if problem:
        return None
    try:
        if not os.path.exists(path + "/lock"):
            for folder in (os.path.dirname(path), path, path + "/objects", path + "/objects/pack", path + "/used",
                           path + "/projects"):  # fmt: skip
                storage.make_directory(folder, step="share-folder")
            storage.write_file(path + "/CACHEDIR.TAG", _TAG, step="share-tag", durable=False, mode=0o600)
            storage.write_file(path + "/lock", b"", step="share-lock", exclusive=True, durable=False)
    except StorageError:
        return None
    return path if not _problem(path) else None


def _problem(path: str) -> str:
    """Say why a folder cannot be used, or cannot be made: it and what it is made in must be the caller's alone."""
    nearest = path
    for _ in range(3):
        try:
            status = os.stat(nearest)
        except (FileNotFoundError, NotADirectoryError):
            nearest = os.path.dirname(nearest)
            continue
        except OSError as error:
            return f"{nearest}: {error.strerror}"
        if not os.path.isdir(nearest):
            return f"{nearest} is not a folder"
        reason = why_not_own(status)
        return f"{nearest}: {reason}" if reason else ""
    return f"{os.path.dirname(path)} does not exist"

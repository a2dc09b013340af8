"""The repository's configuration: a plain git configuration file, read with git's own rules for scopes."""

from __future__ import annotations

import os
from typing import Any

from envgit.errors import InvalidName, UnknownPath
from envgit.repo import Repository
from envgit.store.config_files import config_files


def _open(repo: Repository) -> Any:
    """Open the repository's scope on top of the user's and the system's."""
    import pygit2

    config = pygit2.Config()
    for path, level in config_files(repo.git_dir, repo.environ):
        if os.path.isfile(path) and os.access(path, os.R_OK):
            config.add_file(path, level)
    return config


def _check_key(key: str) -> None:
    section, _, name = key.rpartition(".")
    if not section or not name or "\n" in key or "\0" in key:
        raise InvalidName(f"{key!r} is not a configuration key", hint="keys look like user.name or envgit.network")


def get_value(repo: Repository, key: str) -> str | None:
    """Return the value that wins, or None."""
    _check_key(key)
    try:
        return str(_open(repo)[key])
    except KeyError:
        return None
    except ValueError as error:
        raise InvalidName(f"{key!r} is not a configuration key: {error}") from error


def set_value(repo: Repository, key: str, value: str) -> None:
    """Set a value in the repository's own file."""
    _check_key(key)
    import pygit2

    if "\0" in value:
        raise InvalidName("a configuration value cannot contain a NUL byte")
    try:
        pygit2.Config(repo.path("config"))[key] = value
    except ValueError as error:
        raise InvalidName(f"{key!r} is not a configuration key: {error}") from error


def unset_value(repo: Repository, key: str) -> None:
    """Remove a value from the repository's own file; raises UnknownPath when it is not there."""
    _check_key(key)
    import pygit2

    try:
        del pygit2.Config(repo.path("config"))[key]
    except (KeyError, OSError) as error:
        raise UnknownPath(f"{key} is not set in this repository", hint="envgit config --list") from error


def list_values(repo: Repository) -> tuple[tuple[str, str], ...]:
    """Return every (key, value) that applies, in git's order of scopes."""
    return tuple((entry.name, entry.value or "") for entry in _open(repo))

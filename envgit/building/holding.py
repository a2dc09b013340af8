"""Keep what a build has recorded from gc until it has landed: refs below refs/envgit/building/PID/, written with the commits.

They are no operations: nobody undoes half a build. A killed build's are removed by the next build.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from envgit.building.build_index import FOLDER
from envgit.errors import StorageError
from envgit.repo import Repository
from envgit.store import storage

_PREFIX = "refs/envgit/building"


def plain_name(name: str) -> str:
    """Return the name of an environment or stage as a part of a ref's name."""
    return "".join(character if character.isalnum() or character in "-_" else "-" for character in name) or "-"


@contextmanager
def holding(repo: Repository) -> Iterator[None]:
    """Let hold() keep commits until the end."""
    _forget_dead(repo)
    try:
        yield
    finally:
        _forget(repo, str(os.getpid()))


def hold(repo: Repository, stage: str, oid: bytes) -> None:
    """Keep the last commit of a stage, and so all below it. Called under the repository's lock."""
    folder = repo.path(_PREFIX, str(os.getpid()))
    storage.make_directory(folder, step="build-hold", parents=True)
    scratch = repo.path(FOLDER)  # git would take what is left of an unfinished file for a ref
    storage.make_directory(scratch, step="build-folder", parents=True)
    line = oid.hex().encode() + b"\n"
    storage.write_file(f"{folder}/{plain_name(stage)}", line, step="build-hold", durable=False, scratch=scratch)


def _forget_dead(repo: Repository) -> None:
    with suppress(OSError):
        for pid in os.listdir(repo.path(_PREFIX)):
            if not os.path.exists(f"/proc/{pid}"):
                _forget(repo, pid)


def _forget(repo: Repository, pid: str) -> None:
    folder = repo.path(_PREFIX, pid)
    with suppress(OSError, StorageError):
        for name in os.listdir(folder):
            storage.unlink(f"{folder}/{name}", step="build-let-go")
        storage.remove_directory(folder, step="build-let-go")

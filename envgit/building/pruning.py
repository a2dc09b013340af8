"""What builds remember beside their commits, made smaller: fetched files, and the index's lines about commits that are gone."""

from __future__ import annotations

from envgit.building.build_index import FOLDER
from envgit.building.files.downloading import prune_downloads
from envgit.repo import Repository
from envgit.store import storage


def prune_build_cache(repo: Repository, before: float) -> None:
    """Drop the downloads that no build has used since `before` (seconds), and what the index says of commits that are gone.

    Nothing is lost that a build would not find again. Safe beside builds: a line that one appends meanwhile may go, then its
    commit is found by its trailer, or its layer is read again.
    """
    prune_downloads(repo.path(FOLDER, "downloads"), before)
    _prune_index(repo, "index")
    _prune_index(repo, "read-layers")


def _prune_index(repo: Repository, name: str) -> None:
    path = repo.path(FOLDER, name)
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return
    kept = [line for line in lines if _is_of_use(repo, line)]
    if kept != lines:
        storage.write_file(path, b"".join(kept), step="build-index", durable=False)


def _is_of_use(repo: Repository, line: bytes) -> bool:
    try:
        oid = bytes.fromhex(line.decode("ascii").rpartition(" ")[2])
    except ValueError:
        return False
    return line.endswith(b"\n") and len(oid) == 20 and repo.objects.contains(oid)

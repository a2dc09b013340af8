"""Drop what is shared with nobody any more."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from envgit.sharing.packs import open_lock
from envgit.sharing.place import find_place
from envgit.store import storage
from envgit.store.pack_writer import remove_leftovers

_SETTLING_NS = 3_600_000_000_000
"""Half a pack of a killed command is told by its age from one that is about to be whole."""


class Trimmed(NamedTuple):
    """`bytes` of the packs that were (or would be) dropped."""

    packs: tuple[str, ...]
    bytes: int


def trim_shared(git_dir: str, environ: Mapping[str, str], before_ns: int, *, dry_run: bool = False) -> Trimmed:
    """Do trim() for the folder that a repository shares through, if there is one. Raises StorageError."""
    path, problem = find_place(git_dir, environ)
    if problem or not os.path.isdir(path + "/objects/pack"):
        return Trimmed((), 0)
    return trim(path, before_ns, dry_run=dry_run)


def trim(folder: str, before_ns: int, *, dry_run: bool = False) -> Trimmed:
    """Drop the shared packs that no repository has and nobody used since `before_ns`; notes of projects that are gone.

    Only names go: a repository that links a pack at this moment has it. Does nothing while another command uses the
    shared packs. Raises StorageError.
    """
    fd = open_lock(folder)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return Trimmed((), 0)
        packs, size = [], 0
        pack_folder = folder + "/objects/pack"
        if not dry_run:
            remove_leftovers(folder + "/objects")
            _forget_projects(folder + "/projects")
        for name in sorted(os.listdir(pack_folder)):
            stem, extension = os.path.splitext(name)
            with suppress(FileNotFoundError):
                status = os.stat(f"{pack_folder}/{name}")
                if extension == ".pack" and status.st_nlink == 1 and _used_ns(folder, stem) < before_ns:
                    packs.append(stem)
                    size += status.st_blocks * 512
                elif extension == ".idx" and not os.path.exists(f"{pack_folder}/{stem}.pack") and not dry_run:
                    storage.unlink(f"{pack_folder}/{name}", step="share-drop-index")
        for stem in packs if not dry_run else ():
            for path in (f"{pack_folder}/{stem}.idx", f"{pack_folder}/{stem}.pack", f"{folder}/used/{stem}"):
                storage.unlink(path, step="share-drop")
    except OSError as error:
        storage.fail("tidy up", folder, error)
    finally:
        os.close(fd)
    return Trimmed(tuple(packs), size)


def _used_ns(folder: str, stem: str) -> int:
    try:
        return os.stat(f"{folder}/used/{stem}").st_mtime_ns
    except FileNotFoundError:  # its owner was killed before the stamp
        return os.stat(f"{folder}/objects/pack/{stem}.pack").st_ctime_ns + _SETTLING_NS


def _forget_projects(folder: str) -> None:
    for name in os.listdir(folder):
        with suppress(OSError):
            with open(f"{folder}/{name}", "rb") as file:
                path = file.read(1 << 16)
            if not os.path.isdir(path):
                storage.unlink(f"{folder}/{name}", step="share-forget-project")

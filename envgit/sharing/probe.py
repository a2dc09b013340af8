"""What doctor says about sharing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from envgit.sharing.packs import can_link
from envgit.sharing.place import SETTING, find_place, open_place


class SharingReport(NamedTuple):
    """`fix`: the command that would make it work, "" when there is none to give."""

    works: bool
    detail: str
    fix: str


def probe_sharing(git_dir: str | None, environ: Mapping[str, str]) -> SharingReport:
    """Say whether this user's projects share packs and layers, tried with a file. `git_dir`: of a project, to be asked for it."""
    path, problem = find_place(git_dir or os.devnull, environ)
    if not path and problem.endswith(" off"):
        return SharingReport(True, f"switched off ({problem}): each project has its own copies", "")
    folder = open_place(git_dir or os.devnull, environ) if not problem else None
    if folder is None:
        reason = problem or f"{path} cannot be made"
        return SharingReport(False, f"{reason}; each project has its own copies", f"git config --global {SETTING} PATH")
    if git_dir is None:
        return SharingReport(True, f"packs are shared through {folder}", "")
    if can_link(folder + "/objects/pack", git_dir + "/objects/pack"):
        return SharingReport(True, f"this project shares packs through {folder}", "")
    detail = f"this project is on another filesystem than {folder} and has its own copies"
    return SharingReport(
        False, detail, f"envgit config {SETTING} PATH (a folder of your own on the project's filesystem)"
    )

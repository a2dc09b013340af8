"""Which peers are here."""

from __future__ import annotations

import os
from typing import NamedTuple

from ..command import CommandFailed
from ..workspace import Workspace


class Missing(NamedTuple):
    """A peer that cannot take part, and why."""

    name: str
    reason: str


def is_installed(program: str, workspace: Workspace) -> bool:
    """Say whether a program is on the search path."""
    return any(os.access(os.path.join(folder, program), os.X_OK) for folder in workspace.environ["PATH"].split(":"))


def read_version(workspace: Workspace, *argv: str) -> str:
    """Return the number in the first line that says one."""
    try:
        text = workspace.run(*argv).output.decode("utf-8", "replace")
    except CommandFailed:
        return "unknown version"
    for line in text.splitlines():
        for word in line.replace(",", " ").replace("'", " ").replace("+", " +").split():
            if word[0].isdigit() and "." in word:
                return word
    return "unknown version"

"""ostree, with a bare repository: its fastest form."""

from __future__ import annotations

from ..workspace import Workspace
from .presence import Missing, is_installed, read_version


class Ostree:
    """Builds command lines."""

    name = "ostree"

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.version = read_version(workspace, "ostree", "--version")

    @classmethod
    def find(cls, workspace: Workspace) -> Ostree | Missing:
        import os

        if not is_installed("ostree", workspace):
            return Missing("ostree", "not installed")
        if os.geteuid():
            return Missing("ostree", "a bare repository needs root")
        return cls(workspace)

    def create(self, repository: str) -> None:
        """Make an empty repository."""
        self.workspace.run("ostree", f"--repo={repository}", "init", "--mode=bare")

    def commit(self, repository: str, tree: str) -> list[str]:
        """Return the command that records a tree."""
        return ["ostree", f"--repo={repository}", "commit", "--branch=main", "--subject=x", f"--tree=dir={tree}"]

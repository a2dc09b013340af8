"""bubblewrap: what a sandbox costs without an environment to look up."""

from __future__ import annotations

from ..command import CommandFailed
from ..workspace import Workspace
from .presence import Missing, is_installed, read_version


class Bwrap:
    """Builds command lines."""

    name = "bwrap"

    def __init__(self, workspace: Workspace, tree: str) -> None:
        self.tree = tree
        self.version = read_version(workspace, "bwrap", "--version")

    @classmethod
    def find(cls, workspace: Workspace, tree: str) -> Bwrap | Missing:
        if not is_installed("bwrap", workspace):
            return Missing("bwrap", "not installed")
        peer = cls(workspace, tree)
        try:
            workspace.run(*peer.run("true"))
        except CommandFailed as error:
            return Missing("bwrap", error.reason)
        return peer

    def run(self, *words: str) -> list[str]:
        """Return the command that runs a program in the tree, all namespaces its own."""
        mounts = ["--ro-bind", self.tree, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        return ["bwrap", "--unshare-all", "--die-with-parent", *mounts, *words]

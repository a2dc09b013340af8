"""git itself, as most people keep a tree in it."""

from __future__ import annotations

import os

from ..workspace import Workspace
from .presence import Missing, is_installed, read_version


class Git:
    """Builds command lines for a repository apart from its work tree."""

    name = "git"

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.version = read_version(workspace, "git", "--version")

    @classmethod
    def find(cls, workspace: Workspace) -> Git | Missing:
        return cls(workspace) if is_installed("git", workspace) else Missing("git", "not installed")

    def create(self, git_dir: str) -> str:
        """Make an empty repository."""
        self.workspace.run("git", "init", "--quiet", "--bare", "--initial-branch=main", git_dir)
        return git_dir

    def command(self, git_dir: str, work_tree: str, *words: str) -> list[str]:
        """Return a command line."""
        return ["git", f"--git-dir={git_dir}", f"--work-tree={work_tree}", "-C", work_tree, "-c", "gc.auto=0", *words]

    def commit_all(self, git_dir: str, work_tree: str, message: str = "change") -> list[list[str]]:
        """Return the commands that record a whole work tree."""
        return [
            self.command(git_dir, work_tree, "add", "--all", "--force", "."),
            self.command(git_dir, work_tree, "commit", "--quiet", "-m", message),
        ]

    def record(self, git_dir: str, work_tree: str, message: str = "change") -> None:
        """Record a whole work tree, not timed."""
        for argv in self.commit_all(git_dir, work_tree, message):
            self.workspace.run(*argv)

    def create_from(self, git_dir: str, work_tree: str) -> str:
        """Make a repository that has a work tree as its only commit."""
        os.makedirs(work_tree, exist_ok=True)
        self.create(git_dir)
        self.record(git_dir, work_tree)
        return git_dir

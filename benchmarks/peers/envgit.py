"""envgit: the console script beside the interpreter that runs the benchmark."""

from __future__ import annotations

import os
import sys
from functools import cached_property

from ..command import CommandFailed, Timing
from ..workspace import Workspace

# an import that had to leave something out, and said so
IMPORTED = (0, 3)


class Envgit:
    """Builds command lines, to be started in the project."""

    name = "envgit"

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.program = os.path.join(os.path.dirname(sys.executable), "envgit")
        if not os.access(self.program, os.X_OK):
            raise CommandFailed(f"{self.program} is not there: install envgit into this virtual environment first")

    @cached_property
    def version(self) -> str:
        return self.workspace.run(self.program, "--version").output.decode().split()[-1]

    def command(self, *words: str) -> list[str]:
        """Return the command line of a verb."""
        return [self.program, *words]

    def do(self, project: str, *words: str) -> Timing:
        """Run a verb in a project, not timed."""
        return self.workspace.run(*self.command(*words), folder=project, statuses=IMPORTED)

    def init(self, project: str, tree: str) -> list[str]:
        """Return the command line that makes a repository of a directory tree."""
        return [self.program, "init", "--from", f"dir:{tree}", project]

    def create(self, project: str, tree: str) -> str:
        """Make a repository of a directory tree, ready to run."""
        self.workspace.run(*self.init(project, tree), statuses=IMPORTED)
        self.do(project, "run", "HEAD", "--", "true")
        return project

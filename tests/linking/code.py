"""A git repository of code beside or around an environment, driven by stock git as its user would."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tests.lab import CHECKOUT, Done, Lab

LINK = ".envgit-commit"


@dataclass(frozen=True)
class Code:
    """`path`: the work tree. `lab`: the environment, with variables under which git finds hooks and `envgit`."""

    path: Path
    lab: Lab

    def git(self, *words: str, status: int = 0) -> str:
        """Run git in the work tree; return all it says."""
        environ = {**os.environ, **self.lab.variables}
        done = subprocess.run(
            ["git", *words], cwd=self.path, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, f"git {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def commit(self, message: str, *words: str) -> str:
        """Record everything; return the commit's id."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, *words)
        return self.git("rev-parse", "HEAD").strip()

    def link(self, *words: str, **options: int) -> Done:
        """Run `envgit link` in the work tree."""
        return self.lab.at(self.path)("link", *words, status=options.get("status", 0))

    def linked(self, message: str) -> str:
        """Link, and record the link with the code; return the code's commit."""
        self.link()
        return self.commit(message)

    def change(self, text: str) -> str:
        """Commit another /etc/motd to the environment; return the commit's id."""
        self.lab("run", "--network", "none", "--", "sh", "-c", f"echo {text} > /etc/motd")
        self.lab("commit", "-m", text)
        return self.lab.head()

    def motd(self, *words: str) -> str:
        """Return what /etc/motd says in a run with these words."""
        return self.lab("run", "--network", "none", *words, "--", "cat", "/etc/motd").out

    def values(self) -> dict[str, str]:
        """Return what the link file says."""
        lines = [line for line in self.file.read_text().splitlines() if not line.startswith("#")]
        return {line.partition(" ")[0]: line.partition(" ")[2] for line in lines}

    @property
    def file(self) -> Path:
        return self.path / LINK

    def at(self, path: Path) -> Code:
        return replace(self, path=path)


def make_code(lab: Lab, path: Path, scratch: Path) -> Code:
    """Make a git repository with one commit at `path`; scratch: for the user's git configuration and a folder for PATH."""
    programs = scratch / "programs"
    programs.mkdir(exist_ok=True)
    wrapper = programs / "envgit"
    words = shlex.join([sys.executable, "-P", "-m", "envgit"])
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(CHECKOUT))} exec {words} "$@"\n')
    wrapper.chmod(0o755)
    config = scratch / "user.gitconfig"
    config.write_text("[init]\n\tdefaultBranch = trunk\n")
    variables = {"GIT_CONFIG_GLOBAL": str(config), "PATH": f"{programs}:{os.environ['PATH']}"}
    path.mkdir(exist_ok=True)
    made = Code(path, replace(lab, variables={**lab.variables, **variables}))
    made.git("init", "-q")
    (path / "app.py").write_text("print(1)\n")
    made.commit("first")
    return made

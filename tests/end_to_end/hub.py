"""A bare repository that projects share, for tests of what goes in and out."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lab import Lab


def make_hub(path: Path) -> Path:
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
    return path


def hub_git(hub: Path, *words: str) -> str:
    """Run stock git in the hub; return what it prints."""
    return subprocess.run(["git", "-C", hub, *words], capture_output=True, text=True, check=True).stdout


def commit(lab: Lab, text: str, path: str = "/srv/note") -> str:
    lab.sh(f"echo {text} > {path}")
    lab("commit", "-m", text)
    return lab.head()


def clone(source: Path | str, folder: Path, like: Lab, *words: str) -> Lab:
    like.at(folder.parent)("clone", *words, str(source), str(folder))
    return like.at(folder)


def make_pair(lab: Lab, folder: Path) -> tuple[Lab, Lab, Path]:
    """Return a project that pushed to a hub, a clone of the hub, and the hub."""
    hub = make_hub(folder / "hub.git")
    lab("remote", "add", "origin", str(hub))
    lab("push")
    return lab, clone(hub, folder / "other", lab), hub

"""runc and crun: a ready bundle, started; no image, no layers, no storage."""

from __future__ import annotations

import itertools
import json
import os
from typing import Any

from ..command import CommandFailed
from ..workspace import Workspace
from .presence import Missing, is_installed, read_version


class OciRuntime:
    """Builds command lines for one bundle."""

    def __init__(self, name: str, workspace: Workspace, tree: str) -> None:
        self.name = name
        self.version = read_version(workspace, name, "--version")
        self.state = workspace.make(name, "state")
        self.bundle = workspace.make(name, "bundle")
        self._ids = itertools.count()
        rootless = ["--rootless"] if os.geteuid() else []
        workspace.run(name, "spec", "--bundle", self.bundle, *rootless)
        _adapt(os.path.join(self.bundle, "config.json"), tree)

    @classmethod
    def find(cls, name: str, workspace: Workspace, tree: str) -> OciRuntime | Missing:
        if not is_installed(name, workspace):
            return Missing(name, "not installed")
        try:
            peer = cls(name, workspace, tree)
            workspace.run(*peer.run())
        except CommandFailed as error:
            return Missing(name, error.reason)
        return peer

    def run(self) -> list[str]:
        """Return the command that runs `true` in the bundle."""
        name = f"envgit-bench-{os.getpid()}-{next(self._ids)}"
        return [self.name, "--root", self.state, "run", "--bundle", self.bundle, name]


def _adapt(path: str, tree: str) -> None:
    """Make the default spec fit: our tree, read-only, no terminal, no limits that need more rights than we have."""
    with open(path, encoding="utf-8") as file:
        config: dict[str, Any] = json.load(file)
    config["process"].update(terminal=False, args=["true"])
    config["process"].pop("rlimits", None)
    config["root"] = {"path": tree, "readonly": True}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)

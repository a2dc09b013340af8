"""podman, with storage of its own in the scratch folder."""

from __future__ import annotations

from ..command import CommandFailed
from ..workspace import Workspace
from .container import ContainerEngine
from .presence import Missing, is_installed, read_version

# default limits of podman are above what a container or a small machine may have
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


def start_podman(workspace: Workspace, tree: str) -> ContainerEngine | Missing:
    """Make the image of `tree` and try it, with the first runtime that works on this machine."""
    if not is_installed("podman", workspace):
        return Missing("podman", "not installed")
    folder = workspace.make("podman")
    storage = ["--root", f"{folder}/storage", "--runroot", f"{folder}/run", "--events-backend", "none"]
    version = read_version(workspace, "podman", "--version")
    reason = ""
    imported = False
    for runtime in ("crun", "runc"):
        if not is_installed(runtime, workspace):
            continue
        options = [*storage, "--runtime", runtime, "--cgroup-manager", "cgroupfs"]
        engine = ContainerEngine("podman", f"{version} with {runtime}", workspace, options, _LIMITS)
        try:
            if not imported:
                engine.import_tree(tree)
                imported = True
            workspace.run(*engine.run("true"))
        except CommandFailed as error:
            reason = error.reason
            continue
        return engine
    return Missing("podman", reason or "no runtime is installed")

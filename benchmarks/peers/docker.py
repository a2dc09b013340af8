"""docker, with a daemon of its own in the scratch folder."""

from __future__ import annotations

import os
import time

from ..command import CommandFailed
from ..workspace import Workspace
from .container import ContainerEngine
from .presence import Missing, is_installed, read_version

_WAIT_SECONDS = 30


def start_docker(workspace: Workspace, tree: str) -> ContainerEngine | Missing:
    """Start a daemon without networks, make the image of `tree` and try it."""
    if not is_installed("docker", workspace) or not is_installed("dockerd", workspace):
        return Missing("docker", "docker or dockerd is not installed")
    if os.geteuid():
        return Missing("docker", "a daemon of its own needs root")
    folder = workspace.make("docker")
    host = f"unix://{folder}/socket"
    daemon = workspace.start_daemon(
        [
            *("dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--host", host),
            *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"),
        ],
        f"{folder}/log",
    )
    began = time.monotonic()
    while not os.path.exists(f"{folder}/socket"):
        if daemon.poll() is not None or time.monotonic() - began > _WAIT_SECONDS:
            return Missing("docker", "dockerd does not start here")
        time.sleep(0.1)
    client = read_version(workspace, "docker", "--version")
    server = read_version(workspace, "dockerd", "--version")
    engine = ContainerEngine("docker", f"{client}, dockerd {server}", workspace, ["--host", host])
    try:
        engine.import_tree(tree)
        workspace.run(*engine.run("true"))
    except CommandFailed as error:
        return Missing("docker", error.reason)
    return engine

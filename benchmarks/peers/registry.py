"""A registry of the distribution project (Debian's docker-registry) in the scratch folder."""

from __future__ import annotations

import os
import socket
import time

from ..workspace import Workspace
from .presence import Missing, is_installed, read_version

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: "{folder}/data"}}}}
http: {{addr: "{host}"}}
"""
_WAIT_SECONDS = 30


class Registry:
    """Listens on the loopback device; `host` is what names of images begin with. It remembers nothing but its files."""

    name = "docker-registry"

    def __init__(self, workspace: Workspace, folder: str, host: str) -> None:
        self.workspace = workspace
        self.version = read_version(workspace, "docker-registry", "--version")
        self.host = host
        self._folder = folder

    @classmethod
    def start(cls, workspace: Workspace, folder_name: str) -> Registry | Missing:
        """Start one with no content."""
        if not is_installed("docker-registry", workspace):
            return Missing(cls.name, "not installed")
        folder = workspace.make(folder_name)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        host = f"127.0.0.1:{port}"
        with open(f"{folder}/config.yml", "w", encoding="ascii") as file:
            file.write(_CONFIG.format(folder=folder, host=host))
        daemon = workspace.start_daemon(["docker-registry", "serve", f"{folder}/config.yml"], f"{folder}/log")
        began = time.monotonic()
        while not _answers(port):
            if daemon.poll() is not None or time.monotonic() - began > _WAIT_SECONDS:
                return Missing(cls.name, "it does not start here")
            time.sleep(0.1)
        return cls(workspace, folder, host)

    def empty(self) -> None:
        """Take everything out of it that was pushed."""
        self.workspace.remove(os.path.join(self._folder, "data"))


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""Kernel settings (sysctl) of namespaces: an operation for the sandbox's own, and the same for a joined network."""

from __future__ import annotations

import os

from envgit.errors import SandboxError
from envgit.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from envgit.exec.mount.place import Place

NETWORK_PREFIX = b"net."
Settings = tuple[tuple[bytes, bytes], ...]


class WriteSettings:
    """Write settings below the sandbox's /proc/sys, before it becomes read-only."""

    __slots__ = ("settings",)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def describe(self) -> str:
        return "settings " + " ".join(os.fsdecode(name + b"=" + value) for name, value in self.settings)

    def open(self, place: Place) -> None:
        pass

    def execute(self, place: Place) -> None:
        write_settings(self.settings, place.proc_fd)


def write_settings(settings: Settings, proc_fd: int) -> None:
    """Write settings, named with dots, below the proc file system behind `proc_fd`; SandboxError for a refused one."""
    for name, value in settings:
        try:
            fd = os.open(b"sys/" + name.replace(b".", b"/"), os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_fd)
            try:
                os.write(fd, value)
            finally:
                os.close(fd)
        except OSError as error:
            raise SandboxError(f"setting {os.fsdecode(name)}={os.fsdecode(value)}: {error.strerror}") from error

"""What every row gets: options, scratch folder, peers and the trees to work on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from .peers.bwrap import Bwrap
from .peers.container import ContainerEngine
from .peers.docker import start_docker
from .peers.envgit import Envgit
from .peers.git import Git
from .peers.oci_runtime import OciRuntime
from .peers.ostree import Ostree
from .peers.podman import start_podman
from .peers.presence import Missing
from .trees import Trees
from .workspace import Workspace

Peer = TypeVar("Peer")


@dataclass
class Bench:
    """Peers are looked for (and their daemons started) when the first row asks for them."""

    workspace: Workspace
    trees: Trees
    quick: bool = False
    commits: int = 1000
    missing: dict[str, str] = field(default_factory=dict)

    @cached_property
    def envgit(self) -> Envgit:
        return Envgit(self.workspace)

    @cached_property
    def git(self) -> Git | None:
        return self._there(Git.find(self.workspace))

    @cached_property
    def ostree(self) -> Ostree | None:
        return self._there(Ostree.find(self.workspace))

    @cached_property
    def docker(self) -> ContainerEngine | None:
        return self._there(start_docker(self.workspace, self.trees.base))

    @cached_property
    def podman(self) -> ContainerEngine | None:
        return self._there(start_podman(self.workspace, self.trees.base))

    @cached_property
    def runc(self) -> OciRuntime | None:
        return self._there(OciRuntime.find("runc", self.workspace, self.trees.base))

    @cached_property
    def crun(self) -> OciRuntime | None:
        return self._there(OciRuntime.find("crun", self.workspace, self.trees.base))

    @cached_property
    def bwrap(self) -> Bwrap | None:
        return self._there(Bwrap.find(self.workspace, self.trees.base))

    def engines(self) -> list[ContainerEngine]:
        """Return the container engines that work here."""
        return [engine for engine in (self.docker, self.podman) if engine is not None]

    def versions(self) -> list[str]:
        """Return one line of text for each program that took part, and for each that could not."""
        names = ("envgit", "git", "ostree", "docker", "podman", "runc", "crun", "bwrap")
        there = [self.__dict__[name] for name in names if self.__dict__.get(name) is not None]
        return [f"{peer.name}: {peer.version}" for peer in there] + [
            f"{name}: not measured: {reason}" for name, reason in self.missing.items()
        ]

    def _there(self, peer: Peer | Missing) -> Peer | None:
        if isinstance(peer, Missing):
            self.missing[peer.name] = peer.reason
            return None
        return peer

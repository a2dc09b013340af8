"""Reads images into memory, for tests."""

from __future__ import annotations

from collections.abc import Mapping

from envgit.images import open_image, read_image
from envgit.layers.sources import ImageSource
from envgit.layers.sources.tar_limits import TarLimits
from envgit.model import EnvironmentConfig
from envgit.monitor import NullMonitor
from tests.sources.memory_store import MemoryStore


class Read:
    """What an image held: `text` of files, `kinds` of all paths but the root."""

    def __init__(
        self, reference: str | ImageSource, environ: Mapping[str, str], platform: str, limits: TarLimits | None
    ) -> None:
        self.store = MemoryStore()
        self.monitor = NullMonitor()
        with open_image(reference, environ=environ, monitor=self.monitor, platform=platform) as image:
            self.image = image
            self.imported = read_image(image, self.store, self.monitor, limits)
        self.entries = self.store.paths(self.imported.root)
        self.config: EnvironmentConfig = self.image.config

    @property
    def text(self) -> dict[str, str]:
        return {
            path.decode(): self.store.blobs[entry.sha256 or b""].decode()
            for path, entry in self.entries.items()
            if entry.type == "f"
        }

    @property
    def kinds(self) -> dict[str, str]:
        return {path.decode(): entry.type for path, entry in self.entries.items() if path}


def read(
    reference: str | ImageSource,
    environ: Mapping[str, str] | None = None,
    platform: str = "linux/amd64",
    limits: TarLimits | None = None,
) -> Read:
    return Read(reference, environ or {}, platform, limits)

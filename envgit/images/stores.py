"""Where the parts of an image come from: what a layout, an archive and a registry have in common."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from envgit.images.documents import Descriptor
from envgit.images.verified import VerifiedStream


class Found(NamedTuple):
    """The document that a reference names: an index or a manifest, verified if its digest was known before."""

    data: bytes
    digest: str
    media_type: str
    """"": not said."""


class ImageStore(Protocol):
    """Reads verified parts. Raises SourceError (missing, damaged, unreachable) and HostileInput (far too large)."""

    def read_manifest(self, descriptor: Descriptor) -> bytes:
        """Return an index or a manifest."""

    def open_blob(self, descriptor: Descriptor, what: str) -> VerifiedStream:
        """Open a configuration or a layer."""

    def close(self) -> None: ...

    def forget_downloads(self) -> None:
        """Remove what was kept of downloads."""

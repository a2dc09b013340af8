"""An image that was found: its manifest and configuration are read and verified, its layers are not fetched yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from types import TracebackType
from typing import NamedTuple

from envgit.images.history import LayerHistory
from envgit.images.verified import VerifiedStream
from envgit.model import EnvironmentConfig


class ImageLayer(NamedTuple):
    """One layer. `open` gives the stored bytes, verified against `digest` and `size` by the time they end."""

    digest: str
    """Of the blob as it is stored; "" when nothing says (docker-archive)."""
    size: int
    """Of the blob; -1 when nothing says."""
    diff_id: str
    """Of the uncompressed archive."""
    open: Callable[[], VerifiedStream]
    elsewhere: str = ""
    """The address that a layer names which may not be distributed; "" for others."""


class Image:
    """Use as a context manager, or call `close`: it may hold an open archive or a connection."""

    def __init__(
        self,
        name: str,
        digest: str,
        manifest_digest: str,
        platform: str,
        config_bytes: bytes,
        config: EnvironmentConfig,
        layers: tuple[ImageLayer, ...],
        history: tuple[LayerHistory, ...],
        close: Callable[[], None],
        forget: Callable[[], None],
    ) -> None:
        self.name = name
        """The full reference, such as docker://docker.io/library/debian:12."""
        self.digest = digest
        """What `resolve_digest` returns: of what the reference named, an index when it has several platforms."""
        self.manifest_digest = manifest_digest
        """Of the one platform's manifest."""
        self.platform = platform
        self.config_bytes = config_bytes
        """The whole image configuration (with history and diff ids), as stored."""
        self.config = config
        """Its `config` object, for config.json."""
        self.layers = layers
        self.history = history
        """Of each layer; of an image without layers one for the whole."""
        self.chain_ids = chain_ids([layer.diff_id for layer in layers])
        self._close = close
        self._forget = forget

    def forget_downloads(self) -> None:
        """Remove what was kept of downloads so that an interrupted one could go on: they are of no use any more."""
        self._forget()

    def close(self) -> None:
        self._close()

    def __enter__(self) -> Image:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()


def chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """Return what names each layer together with all below it (OCI image specification, config.md, "Layer ChainID")."""
    found: list[str] = []
    for diff_id in diff_ids:
        found.append("sha256:" + sha256(f"{found[-1]} {diff_id}".encode()).hexdigest() if found else diff_id)
    return tuple(found)

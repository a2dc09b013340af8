"""An image that was found: its manifest and configuration are read and verified, its layers are not fetched yet."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

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
        close: Callable[[], None],
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
        self._close = close

    def close(self) -> None:
        self._close()

    def __enter__(self) -> Image:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

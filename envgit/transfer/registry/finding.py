"""Find the history that belongs to an image in a registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from envgit.errors import HostileInput, SourceError
from envgit.layers.sources.image_source import ImageName, parse_image_name
from envgit.monitor import Monitor
from envgit.registry.uploading import Uploader
from envgit.transfer.registry.artifact import ARTIFACT_TYPE, History, digest_of, document_of, parse_history

PREFIX = "docker://"
_READ_BYTES = 64 * 1024


class FoundHistory(NamedTuple):
    """`manifest`: the digest of the artifact."""

    manifest: str
    history: History


def parse_reference(text: str) -> ImageName:
    """Return what `docker://NAME[:TAG][@DIGEST]` names. Raises UsageError."""
    return parse_image_name(text.removeprefix(PREFIX))


def open_repository(name: ImageName, environ: Mapping[str, str], monitor: Monitor) -> Uploader:
    """Return the way to the repository of a registry that a reference names."""
    return Uploader(name.host, name.path, environ, monitor)


def find_history(registry: Uploader, name: ImageName) -> FoundHistory | None:
    """Return the history beside the image, the newest that refers to it; None where the image has none, or does not exist.

    Raises SourceError (unreachable, denied, damaged).
    """
    image = registry.get_manifest(name.digest or name.tag)
    if image is None:
        return None
    referrers = registry.list_referrers(digest_of(image.data), ARTIFACT_TYPE)
    return read_history(registry, referrers[-1].digest) if referrers else None


def read_history(registry: Uploader, digest: str) -> FoundHistory | None:
    """Return the history that an artifact describes; None when the registry does not have it."""
    what = f"the history {digest} of {registry.name}"
    manifest = registry.get_manifest(digest)
    if manifest is None:
        return None
    document_digest, size = document_of(manifest.data, what)
    stream = registry.get_blob(document_digest, size)
    try:
        parts: list[bytes] = []
        got = 0
        while data := stream.read(_READ_BYTES):
            parts.append(data)
            got += len(data)
            if got > size:
                raise HostileInput(f"{what} is larger than its manifest says", hint="ask who runs the registry")
    finally:
        stream.close()
    document = b"".join(parts)
    if digest_of(document) != document_digest:
        raise SourceError(f"{what} is damaged: its document has another digest", hint="ask who runs the registry")
    return FoundHistory(digest, parse_history(document, what))

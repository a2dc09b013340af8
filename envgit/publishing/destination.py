"""Where an image is written to on this machine: oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG]."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from envgit.errors import UsageError
from envgit.layers.sources.image_source import parse_image_name
from envgit.publishing.compression import LayerCompression

KINDS: Final = ("oci", "oci-archive", "docker-archive")
_REF_NAME: Final = re.compile(r"[A-Za-z0-9]+(?:(?:[-._:@/+]|--)[A-Za-z0-9]+)*")
"""Image specification, annotations.md: what org.opencontainers.image.ref.name may be."""


class ImageDestination(NamedTuple):
    """`tag`: "" for none; of a docker-archive the complete name, `docker.io/library/app:1`."""

    kind: str
    path: str
    tag: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}" + (f":{self.tag}" if self.tag else "")


def parse_destination(text: str) -> ImageDestination | None:
    """Return the image destination that `text` names, None if it is of another kind. Raises UsageError."""
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        return None
    path, colon, tag = rest.partition(":")
    form = f"{kind}:{'DIR' if kind == 'oci' else 'FILE'}[:{'NAME:TAG' if kind == 'docker-archive' else 'TAG'}]"
    if not path or "\0" in rest or (colon and not tag):
        raise UsageError(f"{ascii(text[:120])} is not a destination", hint=f"use {form}")
    if tag and kind == "docker-archive":
        name = parse_image_name(tag)
        if name.digest:
            raise UsageError("an image is named by a tag before it has a digest", hint=f"use {form}")
        tag = f"{name.repository}:{name.tag}"
    elif tag and not (_REF_NAME.fullmatch(tag) and len(tag) <= 255):
        raise UsageError(f"{ascii(tag[:120])} is no tag of a layout", hint=f"use {form}")
    return ImageDestination(kind, path, tag)


def compression_for(destination: ImageDestination, asked: str | None) -> LayerCompression:
    """Return how layers are compressed there: gzip unless asked otherwise; docker's archives have them plain."""
    match asked:
        case None:
            return "none" if destination.kind == "docker-archive" else "gzip"
        case "none":
            return "none"
        case "gzip" | "zstd" if destination.kind != "docker-archive":
            return "gzip" if asked == "gzip" else "zstd"
    if destination.kind == "docker-archive":
        raise UsageError(
            "the layers of a docker-archive are plain", hint="leave --compression out, or use oci-archive:"
        )
    raise UsageError(f"layers of images are not compressed with {asked}", hint="use gzip, zstd or none")

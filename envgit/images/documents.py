"""The JSON documents of images: indexes and manifests of OCI and docker, checked.

Source: OCI image specification 1.1 (image-index.md, manifest.md, descriptor.md); docker's manifest v2 schema 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from envgit.errors import HostileInput, SourceError
from envgit.layers.sources.image_source import is_digest
from envgit.platforms import Platform, parse_platform_object

INDEX_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_SCHEMA_1: Final = "application/vnd.docker.distribution.manifest.v1"
_CONFIG_TYPES: Final = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_LAYER_TYPES: Final = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
_COMPRESSIONS: Final = ("", "+gzip", "+zstd", ".gzip", ".zstd")
REFERENCE_TYPE: Final = "vnd.docker.reference.type"

MOST_LAYERS: Final = 4096
MOST_MANIFESTS: Final = 4096


class Descriptor(NamedTuple):
    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = {}
    urls: tuple[str, ...] = ()
    """Where else it is said to be. Nothing is fetched from there: an image could name any host (CVE-2020-15157)."""


class Index(NamedTuple):
    manifests: tuple[Descriptor, ...]


class Manifest(NamedTuple):
    config: Descriptor
    layers: tuple[Descriptor, ...]


def parse_document(data: bytes, media_type: str, what: str) -> Index | Manifest:
    """Return the index or manifest in `data`, which came as `media_type` ("": not said).

    Raises SourceError for everything else; HostileInput when it can be read as both (CVE-2021-41190) or has too many parts.
    """
    fields = parse_json(data, what)
    said = fields.get("mediaType", "")
    media_type = media_type.partition(";")[0].strip().lower()
    if media_type in ("application/json", "application/octet-stream", "text/plain", "binary/octet-stream"):
        media_type = ""
    if not isinstance(said, str) or (said and media_type and said != media_type):
        raise HostileInput(
            f"{what} came as {media_type[:100]} and says that it is {_short(said)}", hint="push or make the image again"
        )
    kind = said or media_type
    if kind.startswith(_SCHEMA_1) or fields.get("schemaVersion") == 1:
        raise SourceError(
            f"{what} is an image in the old form (schema 1), whose layers cannot be verified",
            hint="push it again with a current docker or podman",
        )
    if fields.get("schemaVersion") != 2:
        raise SourceError(f"{what} is no manifest of an image: its schemaVersion is not 2", hint="check the name")
    is_index, is_manifest = "manifests" in fields, bool({"config", "layers", "fsLayers"} & fields.keys())
    if is_index and is_manifest:
        raise HostileInput(f"{what} can be read as an index and as a manifest", hint="make the image again")
    if kind and kind not in (INDEX_TYPES if is_index else MANIFEST_TYPES):
        raise SourceError(f"{what} has the type {_short(kind)}, which is not an image's", hint="check the name")
    if is_index:
        return Index(tuple(_descriptors(fields, "manifests", MOST_MANIFESTS, what)))
    return _manifest(fields, what)


def _manifest(fields: Mapping[str, object], what: str) -> Manifest:
    config = _descriptor(fields.get("config"), "config", what)
    layers = tuple(_descriptors(fields, "layers", MOST_LAYERS, what))
    artifact = fields.get("artifactType")
    if config.media_type not in _CONFIG_TYPES:
        raise SourceError(
            f"{what} is no image of a filesystem but an artifact of type {_short(artifact or config.media_type)}",
            hint="name an image",
        )
    for number, layer in enumerate(layers, 1):
        if layer.media_type.endswith("+encrypted"):
            raise SourceError(
                f"layer {number} of {what} is encrypted",
                hint="decrypt it: skopeo copy --decryption-key KEY SOURCE oci:DIR:TAG",
            )
        for known in _LAYER_TYPES:
            if layer.media_type.startswith(known) and layer.media_type.removeprefix(known) in _COMPRESSIONS:
                break
        else:
            raise SourceError(
                f"layer {number} of {what} has the unknown type {_short(layer.media_type)}",
                hint="make the image again as OCI image",
            )
    return Manifest(config, layers)


def parse_json(data: bytes, what: str) -> dict[str, object]:
    """Return the JSON object in `data`. Raises SourceError, whatever it is; no name may occur twice in an object."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError | _Malformed) else type(error).__name__
        raise SourceError(f"{what} is not JSON: {reason}", hint="make the image again") from None
    if not isinstance(value, dict):
        raise SourceError(f"{what} is not a JSON object", hint="make the image again")
    return value


class _Malformed(ValueError):
    pass


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Malformed("a name occurs twice in one object")
    return found


def _refuse(text: str) -> object:
    raise _Malformed(f"{text} is no number")


def _descriptors(fields: Mapping[str, object], name: str, most: int, what: str) -> list[Descriptor]:
    values = fields.get(name)
    if values is None:
        values = []
    if not isinstance(values, list):
        raise SourceError(f"{what}: {name} is not a list", hint="make the image again")
    if len(values) > most:
        raise HostileInput(f"{what} has {len(values)} {name}; {most} are allowed", hint="make the image again")
    return [_descriptor(value, f"{name}[{number}]", what) for number, value in enumerate(values)]


def _descriptor(value: object, name: str, what: str) -> Descriptor:
    if not isinstance(value, dict):
        raise SourceError(f"{what}: {name} is not an object", hint="make the image again")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str):
        raise SourceError(f"{what}: {name} has no mediaType", hint="make the image again")
    if not is_digest(digest) or not isinstance(digest, str):
        raise SourceError(f"{what}: {name} has no digest that can be verified", hint="make the image again")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:
        raise SourceError(f"{what}: {name} has no valid size", hint="make the image again")
    annotations, urls = value.get("annotations"), value.get("urls")
    texts = annotations.items() if isinstance(annotations, dict) else ()
    return Descriptor(
        media_type,
        digest,
        size,
        parse_platform_object(value.get("platform")),
        {key: text for key, text in texts if isinstance(text, str)},
        tuple(url for url in urls if isinstance(url, str)) if isinstance(urls, list) else (),
    )


def _short(value: object) -> str:
    return ascii(value)[:100]

"""What `docker save` writes: an archive with a manifest.json that lists configurations and layers by file name.

Source: moby image/spec v1.2 and containers/image docker/archive. The configuration's digest is the image's id; it covers the diff
ids, and so the layers' contents.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, NamedTuple

from envgit.errors import HostileInput, SourceError, UsageError
from envgit.images.documents import MOST_LAYERS, MOST_MANIFESTS
from envgit.images.files import has_file
from envgit.images.tar_files import TarFiles
from envgit.images.verified import VerifiedStream, digest_of, read_document
from envgit.layers.sources.image_source import ImageSource, parse_image_name

_SHOWN: Final = 20
_AGAIN: Final = "write the archive again: docker save NAME -o FILE"


class _Item(NamedTuple):
    config: str
    names: tuple[str, ...]
    layers: tuple[str, ...]


class SavedImage(NamedTuple):
    """One image of an archive: its id, its configuration, and how to open its layers."""

    digest: str
    config_bytes: bytes
    layers: tuple[tuple[int, Callable[[], VerifiedStream]], ...]
    """(size, open)."""


def find_saved(files: TarFiles, source: ImageSource) -> SavedImage:
    """Return the image that `source` names. Raises SourceError naming what there is; HostileInput for too many parts."""
    what = f"docker-archive:{source.path}"
    item = _choose(_read_manifest(files, what), source, what)
    data = _read(files, item.config, f"the configuration {item.config} of {what}")
    return SavedImage(digest_of(data), data, tuple(_layer(files, name, what) for name in item.layers))


def _layer(files: TarFiles, name: str, what: str) -> tuple[int, Callable[[], VerifiedStream]]:
    described = f"the layer {name} of {what}"

    def open_() -> VerifiedStream:
        opened = files.open(name)
        if opened is None:
            raise SourceError(f"{described} is missing", hint=_AGAIN)
        return VerifiedStream(opened.stream, described, "", opened.size)

    opened = files.open(name)
    if opened is None:
        raise SourceError(f"{described} is missing", hint=_AGAIN)
    opened.stream.close()
    return opened.size, open_


def _choose(items: list[_Item], source: ImageSource, what: str) -> _Item:
    if not items:
        raise SourceError(f"{what} holds no image", hint=_AGAIN)
    names = [name[:100] for item in items for name in item.names]
    shown = ", ".join(names[:_SHOWN]) or "images without names"
    hint = f"name one: {what}:{names[0]}" if names else f"name one by its position: {what}:@0"
    if source.index >= 0:
        if source.index >= len(items):
            raise SourceError(f"{what} has {len(items)} images; there is no :@{source.index}", hint="count from :@0")
        return items[source.index]
    if source.tag:
        for item in items:
            if source.tag in item.names or source.tag in map(_complete, item.names):
                return item
        raise SourceError(f"{what} has no image {source.tag!r}; it has {shown}", hint=hint)
    if len(items) != 1:
        raise SourceError(f"{what} holds {len(items)} images: {shown}", hint=hint)
    return items[0]


def _complete(name: str) -> str:
    try:
        parsed = parse_image_name(name)
    except UsageError:
        return ""
    return f"{parsed.repository}:{parsed.tag}"


def _read_manifest(files: TarFiles, what: str) -> list[_Item]:
    described = f"manifest.json of {what}"
    if not has_file(files, "manifest.json"):
        hint = "docker before 1.10 wrote it; load it with a current docker and save it again"
        if has_file(files, "oci-layout"):
            hint = f"it is an OCI archive: oci-archive:{files.path}"
        elif has_file(files, "etc/passwd"):
            hint = f"it looks like a root filesystem: tar:{files.path}"
        raise SourceError(f"{what} is no archive of docker save: it has no manifest.json", hint=hint)
    try:
        values = json.loads(_read(files, "manifest.json", described).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{described} is not JSON: {type(error).__name__}", hint=_AGAIN) from None
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise SourceError(f"{described} is not a list of objects", hint=_AGAIN)
    if len(values) > MOST_MANIFESTS:
        raise HostileInput(f"{described} has {len(values)} images; {MOST_MANIFESTS} are allowed", hint=_AGAIN)
    items = []
    for number, value in enumerate(values):
        config, names, layers = value.get("Config"), value.get("RepoTags") or [], value.get("Layers") or []
        if not isinstance(config, str) or not config or "\0" in config:
            raise SourceError(f"{described}: image {number} has no Config", hint=_AGAIN)
        items.append(_Item(config, _texts(names, "RepoTags", described), _texts(layers, "Layers", described)))
        if len(layers) > MOST_LAYERS:
            raise HostileInput(f"{described} has {len(layers)} layers; {MOST_LAYERS} are allowed", hint=_AGAIN)
    return items


def _texts(value: object, name: str, described: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise SourceError(f"{described}: {name} is not a list of strings", hint=_AGAIN)
    return tuple(value)


def _read(files: TarFiles, name: str, described: str) -> bytes:
    opened = files.open(name)
    if opened is None:
        raise SourceError(f"{described} is missing", hint=_AGAIN)
    return read_document(VerifiedStream(opened.stream, described, "", opened.size), described)

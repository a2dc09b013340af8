"""The configuration document of an image: platform, diff ids, and the part that becomes an environment's config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from envgit.environment_config import parse_config
from envgit.errors import CorruptObject, SourceError
from envgit.images.documents import parse_json
from envgit.images.history import LayerHistory, parse_history
from envgit.layers.sources.image_source import is_digest
from envgit.model import EnvironmentConfig
from envgit.platforms import Platform, parse_platform_object

_AGAIN: Final = "make the image again"
_STRINGS: Final = ("Cmd", "Entrypoint", "Env", "OnBuild", "Shell")
_TEXTS: Final = ("StopSignal", "User", "WorkingDir")
_SETS: Final = ("ExposedPorts", "Volumes")
"""Names of nothing else: docker fills what it finds with the ids and settings of the container that it was built in."""


class ImageConfig(NamedTuple):
    """`platform` None: the document does not say (an image from scratch, or an old one)."""

    platform: Platform | None
    diff_ids: tuple[str, ...]
    config: EnvironmentConfig
    history: tuple[LayerHistory, ...]


def parse_image_config(data: bytes, what: str) -> ImageConfig:
    """Return what the document in `data` says. Raises SourceError naming the field that is wrong."""
    fields = parse_json(data, what)
    rootfs = fields.get("rootfs")
    if rootfs is not None and not isinstance(rootfs, dict):
        raise SourceError(f"{what}: rootfs is not an object", hint=_AGAIN)
    diff_ids = rootfs.get("diff_ids") if rootfs else None
    if diff_ids is None:
        diff_ids = []
    if not isinstance(diff_ids, list) or not all(is_digest(digest) for digest in diff_ids):
        raise SourceError(f"{what}: rootfs.diff_ids is not a list of digests that can be verified", hint=_AGAIN)
    config = fields.get("config")
    if config is not None and not isinstance(config, dict):
        raise SourceError(f"{what}: config is not an object", hint=_AGAIN)
    platform = parse_platform_object(fields)
    history = parse_history(fields, len(diff_ids))
    return ImageConfig(platform, tuple(diff_ids), environment_config(config or {}, what), history)


def environment_config(config: Mapping[str, object], what: str) -> EnvironmentConfig:
    """Return the fields of an image's `config` that say how to run it; what is empty is left out. Raises SourceError."""
    kept: dict[str, object] = {}
    for name in _STRINGS:
        value = config.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise _wrong(what, name, "a list of strings")
        if value:
            kept[name] = value
    for name in _TEXTS:
        value = config.get(name)
        if value is not None and not isinstance(value, str):
            raise _wrong(what, name, "a string")
        if value:
            kept[name] = value
    for name in _SETS:
        value = config.get(name)
        if value is not None and not isinstance(value, dict):
            raise _wrong(what, name, "an object")
        if value:
            kept[name] = {key: {} for key in value}
    labels = config.get("Labels")
    if labels is not None and not (
        isinstance(labels, dict) and all(isinstance(text, str | None) for text in labels.values())
    ):
        raise _wrong(what, "Labels", "an object of strings")
    if labels:
        kept["Labels"] = {key: text or "" for key, text in labels.items()}
    health = config.get("Healthcheck")
    if health is not None:
        if not isinstance(health, dict) or not all(isinstance(part, str) for part in _list(health.get("Test"))):
            raise _wrong(what, "Healthcheck", "an object with a Test")
        if health:
            kept["Healthcheck"] = health
    env = kept.get("Env")
    if isinstance(env, list) and any(not item.partition("=")[0] for item in env):
        raise _wrong(what, "Env", "a list of NAME=VALUE")
    directory = kept.get("WorkingDir")
    if isinstance(directory, str) and not directory.startswith("/"):
        kept["WorkingDir"] = "/" + directory
    try:
        return parse_config(json.dumps(kept).encode())
    except CorruptObject as error:
        raise SourceError(f"{what}: {error.message.removeprefix('config.json: ')}", hint=_AGAIN) from None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else ([] if value is None else [None])


def _wrong(what: str, name: str, form: str) -> SourceError:
    return SourceError(f"{what}: config.{name} is not {form}", hint=_AGAIN)

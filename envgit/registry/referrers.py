"""The manifests that say of another that they belong to it: entries of the index that a registry answers with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from envgit.errors import SourceError
from envgit.registry.transport import Answer, join, origin_of

_INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_NEXT = re.compile(r'<([^<>]*)>\s*;\s*rel="?next"?')


class IndexEntry(NamedTuple):
    """One manifest that an index lists."""

    media_type: str
    digest: str
    size: int
    artifact_type: str
    annotations: Mapping[str, str] = MappingProxyType({})


def parse_index(data: bytes, what: str) -> list[IndexEntry]:
    """Read an index that came from elsewhere. Raises SourceError for one that is none; `what` names it."""
    try:
        listed = json.loads(data).get("manifests") or []
        return [_entry(fields) for fields in listed]
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        raise SourceError(f"{what} is no image index", hint="ask who runs the registry") from error


def format_index(entries: Sequence[IndexEntry]) -> bytes:
    """Return the index of `entries`: always the same bytes for the same entries."""
    manifests = []
    for entry in entries:
        fields: dict[str, object] = {"mediaType": entry.media_type, "digest": entry.digest, "size": entry.size}
        if entry.artifact_type:
            fields["artifactType"] = entry.artifact_type
        if entry.annotations:
            fields["annotations"] = dict(sorted(entry.annotations.items()))
        manifests.append(fields)
    return json.dumps({"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": manifests}).encode()


def describe(data: bytes, media_type: str, digest: str) -> tuple[IndexEntry, str]:
    """Return the entry of a manifest of ours, and the digest of its subject.

    Its artifact type is its configuration's where it names none (image specification, "guidelines for artifact usage").
    """
    fields = json.loads(data)
    artifact_type = fields.get("artifactType") or fields.get("config", {}).get("mediaType", "")
    entry = IndexEntry(media_type, digest, len(data), artifact_type, fields.get("annotations") or {})
    return entry, fields["subject"]["digest"]


def next_page(answer: Answer) -> str:
    """Return the URL of the next page that a Link header names, "" for none; it must be the same registry's."""
    match = _NEXT.search(answer.header("Link"))
    if match is None:
        return ""
    target = join(answer.url, match[1])
    if origin_of(target) != origin_of(answer.url):
        raise SourceError(f"a list of {origin_of(answer.url).host} goes on elsewhere", hint="ask who runs the registry")
    return target


def _entry(fields: Mapping[str, object]) -> IndexEntry:
    media_type, digest, size = fields["mediaType"], fields["digest"], fields["size"]
    artifact_type, annotations = fields.get("artifactType", ""), fields.get("annotations") or {}
    if not isinstance(media_type, str) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError("descriptor")
    if not isinstance(size, int) or size < 0 or not isinstance(artifact_type, str) or not isinstance(annotations, dict):
        raise ValueError("descriptor")
    texts = {key: value for key, value in annotations.items() if isinstance(key, str) and isinstance(value, str)}
    return IndexEntry(media_type, digest, size, artifact_type, texts)

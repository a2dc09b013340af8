"""A revision as a container image: which layers it has, and its configuration and manifest. Pure, but for the commits it reads.

Source: OCI image specification 1.1, config.md and manifest.md. Nothing comes from the clock: the dates are those of the commits.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from envgit.environment_config import parse_config
from envgit.platforms import Platform
from envgit.publishing.chain import read_line
from envgit.publishing.compression import MEDIA_TYPES, LayerCompression
from envgit.publishing.grouping import group
from envgit.publishing.layer_blob import BlobId
from envgit.repo import Repository
from envgit.snapshot import Snapshot, read_config_bytes
from envgit.store.objects import Signature

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"
_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999: later ones have no RFC 3339 form."""
_MOST_CHARACTERS: Final = 4096


class PlannedLayer(NamedTuple):
    """What turns the files of `old` (None: nothing) into those of `new`."""

    old: Snapshot | None
    new: Snapshot


class ImagePlan(NamedTuple):
    """`top`: the revision. `config`: its config.json. `history`: as the image's configuration has it, oldest first."""

    top: Snapshot
    config: dict[str, object]
    platform: Platform
    layers: tuple[PlannedLayer, ...]
    history: tuple[dict[str, object], ...]


def plan_image(repo: Repository, revision: str, platform: Platform, *, squash: bool = False) -> ImagePlan:
    """Read what an image of `revision` consists of. `squash`: one layer. Raises UnknownRevision, CorruptObject."""
    line = read_line(repo.objects, repo.resolve_bytes(revision))
    top = line[-1]
    data = read_config_bytes(repo.objects, top)
    parse_config(data)
    if squash:
        layers: list[PlannedLayer] = [PlannedLayer(None, top)]
        history = [_entry(top, _subject(top))]
    else:
        layers, history = _split(line)
    return ImagePlan(top, json.loads(data), platform, tuple(layers), tuple(history))


def format_config(plan: ImagePlan, diff_ids: Sequence[str]) -> bytes:
    """Return the image's configuration."""
    fields: dict[str, object] = {
        "created": _moment(plan.top.commit.committer),
        "author": _person(plan.top.commit.author),
        "architecture": plan.platform.architecture,
        "os": plan.platform.os,
        "config": plan.config,
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": plan.history,
    }
    if plan.platform.variant:
        fields["variant"] = plan.platform.variant
    return _json(fields)


def format_manifest(plan: ImagePlan, config: BlobId, layers: Sequence[BlobId], compression: LayerCompression) -> bytes:
    """Return the manifest. It names the commit as the specification's annotations do."""
    fields = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": config.digest, "size": config.size},
        "layers": [
            {"mediaType": MEDIA_TYPES[compression], "digest": layer.digest, "size": layer.size} for layer in layers
        ],
        "annotations": {
            "org.opencontainers.image.created": _moment(plan.top.commit.committer),
            "org.opencontainers.image.revision": plan.top.oid.hex(),
        },
    }
    return _json(fields)


def _split(line: Sequence[Snapshot]) -> tuple[list[PlannedLayer], list[dict[str, object]]]:
    """Return the layers of a line of commits, and its history: an entry for each commit, but one for all of a block."""
    changes = [
        number
        for number, snapshot in enumerate(line)
        if number == 0 or snapshot.root.sha256 != line[number - 1].root.sha256
    ]
    layers: list[PlannedLayer] = []
    history: list[dict[str, object]] = []
    told = 0
    for start, end in group(len(changes)):
        first, last = changes[start], changes[end - 1]
        layers.append(PlannedLayer(line[first - 1] if first else None, line[last]))
        history += [_empty(snapshot) for snapshot in line[told:first]]
        told = last + 1
        text = _subject(line[last])
        if end - start > 1:
            text = f"{last - first + 1} commits, {line[first].oid.hex()[:12]} to {line[last].oid.hex()[:12]}: {text}"
        history.append(_entry(line[last], text))
    history += [_empty(snapshot) for snapshot in line[told:]]
    return layers, history


def _empty(snapshot: Snapshot) -> dict[str, object]:
    return {**_entry(snapshot, _subject(snapshot)), "empty_layer": True}


def _entry(snapshot: Snapshot, text: str) -> dict[str, object]:
    commit = snapshot.commit
    return {"created": _moment(commit.committer), "created_by": text, "author": _person(commit.author)}


def _subject(snapshot: Snapshot) -> str:
    return _text(snapshot.commit.message.lstrip(b"\n").partition(b"\n")[0])[:_MOST_CHARACTERS]


def _person(who: Signature) -> str:
    return f"{_text(who.name)} <{_text(who.email)}>"[:_MOST_CHARACTERS]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")


def _moment(who: Signature) -> str:
    seconds = min(max(who.seconds, 0), _LAST_SECOND)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(fields: object) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

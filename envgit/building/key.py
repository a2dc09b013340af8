"""Keys of units: equal keys mean that a build would do the same thing to the same environment (docs/build.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256

from envgit.building.unit import Record
from envgit.snapshot import Snapshot

_FORMAT = 1
"""Goes up whenever the engine does something else for the same record."""


def unit_key(record: Record, parent: Snapshot, inputs: Sequence[bytes], epoch: int | None) -> bytes:
    """Return the SHA-256 key (32 bytes) of a unit over a commit's tree; `inputs`: digests of the files that it reads.

    The key holds the parent's files and configuration, not its id: how the parent came to be changes nothing.
    """
    parts = [parent.root.sha256.hex(), parent.config_sha256.hex(), [each.hex() for each in inputs]]
    return _digest(["unit", format_record(record), parts, epoch])


def base_key(record: Record, content: bytes, epoch: int | None) -> bytes:
    """Return the key of a base: what it is called, and what identifies its content (b"": its name alone does)."""
    return _digest(["base", format_record(record), content.hex(), epoch])


def format_record(record: Record) -> str:
    """Return the one spelling of a record: a line of JSON."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"))


def _digest(value: list[object]) -> bytes:
    return sha256(json.dumps([_FORMAT, *value], separators=(",", ":")).encode()).digest()

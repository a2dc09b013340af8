"""What a commit of a build records: its tree, and what is beside it."""

from __future__ import annotations

from typing import NamedTuple

from envgit.building.unit import Record
from envgit.model import DirectoryRef, EnvironmentConfig


class Stamp(NamedTuple):
    """Without a `key` nothing finds the commit again: a failed step's."""

    text: str
    record: Record
    key: bytes | None
    files: tuple[tuple[str, bytes], ...]
    """Of the recipe, beside rootfs/."""
    config: EnvironmentConfig | None
    epoch: int | None
    stage: str = ""
    """Whose last commit it becomes (building/holding.py); "": nobody's."""


class Written(NamedTuple):
    """A tree, and with a base that has one its configuration."""

    root: DirectoryRef
    config: EnvironmentConfig | None = None

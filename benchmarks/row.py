"""Rows of the table: a piece of work, who does it, and the figures to reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .bench import Bench
from .contender import Contender
from .target import Target


@dataclass(frozen=True)
class Race:
    """What one row measures: contenders on equal terms. `note` says what was worked on."""

    work: str
    contenders: Sequence[Contender]
    targets: Sequence[Target]
    note: str = ""
    repeats: int = 1


@dataclass(frozen=True)
class Row:
    """A named row; `races` prepares it and returns what is to be measured, one after the other."""

    name: str
    races: Callable[[Bench], Sequence[Race]]

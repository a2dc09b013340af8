"""Contenders: one program's way of doing the work of a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


def nothing(_round: int) -> None:
    """For contenders without preparation or cleanup."""


@dataclass(frozen=True)
class Contender:
    """`commands(round)` are timed together; `prepare` and `clean` run before and after and are not.

    `folder`: where commands are started; `statuses`: exit statuses that mean success.
    """

    name: str
    commands: Callable[[int], Sequence[Sequence[str]]]
    prepare: Callable[[int], None] = field(default=nothing)
    clean: Callable[[int], None] = field(default=nothing)
    folder: str = "/"
    statuses: Sequence[int] = (0,)

"""A commit as a step of a recipe, and a recipe that was written from such steps."""

from __future__ import annotations

from typing import NamedTuple

from envgit.building.record import Recorded
from envgit.declaration.values import MANAGERS
from envgit.model import EnvironmentConfig


class RecordedStep(NamedTuple):
    """One commit. `before` and `after`: the configuration of its parent (of a base: none) and its own.

    `recorded` is None when the commit does not say what was done: then `changes` tells, one line each. `copied`: of files from
    another stage the top-most paths that differ.
    """

    oid: str
    subject: str
    before: EnvironmentConfig
    after: EnvironmentConfig
    is_base: bool = False
    recorded: Recorded | None = None
    changes: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()


class WrittenRecipe(NamedTuple):
    """`losses`: one line for everything that the text only tells in a comment."""

    text: str
    losses: tuple[str, ...]


def one_line(text: str, most: int = 200) -> str:
    """Return text of a commit as part of a comment: it must not end the line, nor hide what follows."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def difference(before: EnvironmentConfig, after: EnvironmentConfig) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the variables that were set or changed, and the names of those that are gone."""
    old, new = dict(before.env), dict(after.env)
    changed = {name: value for name, value in new.items() if old.get(name) != value}
    return changed, tuple(name for name in old if name not in new)


def wanted_packages(recorded: Recorded) -> tuple[str, list[str]] | None:
    """Return the manager and what it was asked for, when the unit was a package set (building/package_sets/units.py)."""
    manager, specs = recorded.more.get("manager"), recorded.more.get("packages")
    if not isinstance(specs, list) or not all(isinstance(each, str) for each in specs):
        return None
    return (str(manager), specs) if manager in MANAGERS else None

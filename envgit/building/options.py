"""What a user asks of a build, beside the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from envgit.errors import UsageError

NetworkPolicy = Literal["private", "none", "host", ""]


class BuildOptions(NamedTuple):
    """`network`: for units that do not say themselves; "none" also for those that do. `no_cache`: reuse nothing of history;
    `from_step`: nothing from that unit on, by the number that build and plan show, or by its name or a word of its text."""

    no_cache: bool = False
    from_step: str = ""
    network: NetworkPolicy = ""
    secrets: Mapping[str, bytes] = MappingProxyType({})
    pull: bool = False
    """Ask again what a name such as docker://debian:12 stands for now."""
    branch: str | None = None
    """The branch that the result becomes the tip of; None: the one that is checked out."""
    locked: bool = False
    """Install what envgit.lock has, and fail rather than differ from it."""
    update: frozenset[str] | None = None
    """Install newer versions of these packages, or with an empty set of all, than envgit.lock has; None: keep its versions."""


def find_step(texts: list[str], word: str) -> int:
    """Return the index of the unit that `from_step` names: the one of that name, or the only one whose text holds the word.

    Raises UsageError.
    """
    named = [number for number, text in enumerate(texts) if text.startswith(f"{word}: ")]
    found = [number for number, text in enumerate(texts) if word in text]
    if len(named) == 1:
        return named[0]
    if len(found) != 1:
        some = "no step" if not found else f"{len(found)} steps"
        raise UsageError(f"{some} named {word!r}", hint="envgit plan lists them; --from-step takes a number, too")
    return found[0]

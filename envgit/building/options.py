"""What a user asks of a build, beside the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from envgit.errors import UsageError

NetworkPolicy = Literal["private", "none", "host", ""]


class BuildOptions(NamedTuple):
    """`network`: for units that do not say themselves; "none" also for those that do. `no_cache`: reuse nothing of history;
    `from_step`: nothing from that unit on, by number (1 is the first after the base) or by a word of its text."""

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
    """Return the index of the unit that `from_step` names: a number from 1, or the only one whose text holds it.

    Raises UsageError.
    """
    if word.isdecimal():
        if not 1 <= int(word) <= len(texts):
            raise UsageError(f"there is no step {word}: the build has {len(texts)}", hint="envgit plan lists them")
        return int(word) - 1
    found = [number for number, text in enumerate(texts) if word in text]
    if len(found) != 1:
        some = "no step" if not found else f"{len(found)} steps"
        raise UsageError(f"{some} named {word!r}", hint="envgit plan lists them; --from-step takes a number, too")
    return found[0]

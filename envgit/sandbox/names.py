"""Names of sandboxes: what is one, and one for those that were given none."""

from __future__ import annotations

import re
from collections.abc import Container

from envgit.errors import InvalidName

_GRAMMAR = "[a-zA-Z0-9][a-zA-Z0-9_.-]+"
_MOST_BYTES = 128
_FIRST = (
    "amber bold brisk calm clear crisp deft eager fair fleet keen kind "
    "lively lucid merry mild neat quick quiet sunny swift warm"
)
_SECOND = (
    "alder aspen beech birch cedar elm fern hazel heron ibis iris juniper "
    "larch linden lotus maple otter plover robin rowan tern wren"
)


def check_name(name: str) -> str:
    """Return a name that may be given, by docker's grammar. Raises InvalidName."""
    if not re.fullmatch(_GRAMMAR, name) or len(name) > _MOST_BYTES:
        raise InvalidName(
            f"{name!r} cannot be the name of a sandbox",
            hint="two or more letters, digits and _ . - that begin with a letter or digit",
        )
    return name


def make_name(id: str, taken: Container[str]) -> str:
    """Return a readable name that is not in `taken`, from the random digits of a new sandbox's id."""
    first, second = _FIRST.split(), _SECOND.split()
    number = int(id, 16)
    name = f"{first[number % len(first)]}-{second[number // len(first) % len(second)]}"
    return name if name not in taken else f"{name}-{id[:6]}"

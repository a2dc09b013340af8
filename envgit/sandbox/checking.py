"""Whether values read from JSON have the types that the fields of a record or status are declared with."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

MOST = (1 << 63) - 1
"""Of any number: times in ns reach to the year 2262."""

Check = Callable[[Any], bool]


def check_fields(value: Any, kind: type[Any], more: dict[str, Check] | None = None) -> None:
    """Raise ValueError unless each field of a named tuple is what its annotation says, and `more` (by field) holds.

    Text must be what a file name can be: no NUL, and bytes outside UTF-8 as os.fsdecode() gives them.
    """
    for name, annotation in kind.__annotations__.items():
        found = getattr(value, name)
        declared = str(getattr(annotation, "__forward_arg__", annotation))
        check = (more or {}).get(name) or _CHECKS[declared]
        if not check(found):
            raise ValueError(f"{name} is {type(found).__name__}")


def is_text(value: Any) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    return True


def is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST


def is_words(value: Any) -> bool:
    return isinstance(value, tuple) and all(is_text(word) for word in value)


def is_pairs(value: Any) -> bool:
    return isinstance(value, tuple) and all(is_words(pair) and len(pair) == 2 for pair in value)


def is_hexadecimal(value: Any, digits: int) -> bool:
    return isinstance(value, str) and len(value) == digits and not set(value) - set("0123456789abcdef")


_CHECKS: dict[str, Check] = {
    "str": is_text,
    "str | None": lambda value: value is None or is_text(value),
    "int": is_number,
    "bool": lambda value: isinstance(value, bool),
    "tuple[str, ...]": is_words,
    "tuple[tuple[str, str], ...]": is_pairs,
}

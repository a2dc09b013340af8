"""Law: what the checks refuse the schema refuses, and what they accept it accepts, but for what it cannot say."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import tomli
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envgit.declaration.errors import DeclarationError
from envgit.declaration.toml_text import format_key, format_value
from tests.declaration.examples import WHOLE, read
from tests.declaration.test_merging import PAIR
from tests.declaration.test_schema import ONLY_CHECKED, VALIDATOR

GOOD = [tomli.loads(text.replace("cpus = 1.5", "cpus = 2")) for text in (WHOLE, PAIR)]
WORDS = [
    "", " ", "a\nb", "a\tb", "a\0b", "é", "a", "A=b", "/", "/a/b", "a/b", "../a", "a:b", "a:b:c", "8080", "80/udp", "1-2",
    "host", "private", "0644", "!a", "a..", "SIGINT", "-a", "@a/b", "a==1", "a=1", "a>1", "512m", "x.lock", "linux/amd64",
    "20240701T000000Z",
]  # fmt: skip
KEYS = [
    "env", "packages", "files", "step", "config", "sandbox", "from", "name", "run", "apt", "/x", "/x/", "content", "source", "PATH",
]  # fmt: skip
LEAVES = st.sampled_from(WORDS) | st.booleans() | st.integers(-2, 70000) | st.just(2**40)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS + WORDS), inner, max_size=2),
    max_leaves=3,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


def dump(fields: dict[str, Any]) -> str:
    """Write a TOML text of one line for each key."""
    return "".join(f"{format_key(key)} = {format_value(value)}\n" for key, value in fields.items())


@st.composite
def declarations(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a good declaration in which something is replaced, added or left out."""
    fields: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(sorted(paths(fields), key=repr)))
        holder: Any = fields
        for key in path[:-1]:
            holder = holder[key]
        kind = draw(st.sampled_from(["replace", "add", "remove"]))
        if kind == "remove":
            del holder[path[-1]]
        elif kind == "replace":
            holder[path[-1]] = draw(VALUES)
        elif isinstance(holder, dict):
            holder[draw(st.sampled_from(KEYS + WORDS))] = draw(VALUES)
        else:
            holder.append(draw(VALUES))
        if not fields:
            return fields
    return fields


@settings(max_examples=250, deadline=None)
@example({"env": {"from": {"a": 1}}})
@example({"env": {"a": {"name": "x"}}})
@given(declarations())
def test_law_schema_and_checks_agree(fields: dict[str, Any]) -> None:
    text = dump(fields)
    assert tomli.loads(text) == fields
    try:
        read(text)
        reason = ""
    except DeclarationError as error:
        reason = error.message
    is_valid = VALIDATOR.is_valid(fields)
    if any(each in reason for each in ONLY_CHECKED):
        return
    assert is_valid == (not reason), reason

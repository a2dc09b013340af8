"""Positions in TOML texts, against the parser's own idea of what is in them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.declaration.locating import MOST_PARTS, Path, locate
from envgit.declaration.toml_text import format_key, format_text

TEXT = """\
# comment [not.a.table]
top = 1
[env]
name = "x" # ] [
  'lit.eral' . "quo\\u0041" = { y = 1, "z" = [1, {q = 2}], }
[env.a.packages]
apt = ["a", # x
 "b",

    'c' ]
[env.a]
from.x = 1979-05-27 07:32:00
[[env.a.step]]
run = \"\"\"
[x]
y = \"x\" \\\"\"\"
\"\"\"
[[env.a.step]]
run = '''
''it's'''''
[env.a.step.env]
"k.k" = 'v'
  [ "a b" . 'c' ]
d = [[1, 2], [
  3]]
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("top",), (2, 1)),
        (("env",), (3, 2)),
        (("env", "name"), (4, 1)),
        (("env", "lit.eral"), (5, 3)),
        (("env", "lit.eral", "quoA"), (5, 16)),
        (("env", "lit.eral", "quoA", "y"), (5, 32)),
        (("env", "lit.eral", "quoA", "z"), (5, 39)),
        (("env", "lit.eral", "quoA", "z", 1, "q"), (5, 50)),
        (("env", "a"), (11, 6)),
        (("env", "a", "packages"), (6, 8)),
        (("env", "a", "packages", "apt", 0), (7, 8)),
        (("env", "a", "packages", "apt", 1), (8, 2)),
        (("env", "a", "packages", "apt", 2), (10, 5)),
        (("env", "a", "from", "x"), (12, 6)),
        (("env", "a", "step"), (13, 9)),
        (("env", "a", "step", 0), (13, 9)),
        (("env", "a", "step", 0, "run"), (14, 1)),
        (("env", "a", "step", 1), (18, 9)),
        (("env", "a", "step", 1, "run"), (19, 1)),
        (("env", "a", "step", 1, "env"), (21, 13)),
        (("env", "a", "step", 1, "env", "k.k"), (22, 1)),
        (("a b",), (23, 5)),
        (("a b", "c"), (23, 13)),
        (("a b", "c", "d", 1, 0), (25, 3)),
        (("env", "a", "no such", "key"), (11, 6)),
        (("nothing",), (1, 1)),
        ((), (1, 1)),
    ],
)
def test_places(path: Path, place: tuple[int, int]) -> None:
    assert locate(TEXT).find(path) == place


def test_headers_are_found_with_their_names() -> None:
    names = [names for names, _ in locate(TEXT).headers]
    step = ("env", "a", "step")
    assert names == [("env",), ("env", "a", "packages"), ("env", "a"), step, step, (*step, "env"), ("a b", "c")]
    assert [TEXT[offset] for _, offset in locate(TEXT).headers] == ["["] * 7


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of everything in a parsed text."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


def test_everything_that_the_parser_sees_has_a_place() -> None:
    assert set(paths(tomli.loads(TEXT))) == set(locate(TEXT).offsets)


# a generator of texts: nested values, written in one of the ways TOML has

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=5) | st.sampled_from(
    ["a", "b", "a-b", "0"]
)
STRINGS = st.text(st.characters(codec="utf-8"), max_size=8)
PLAIN = st.one_of(st.booleans(), st.integers(-(10**9), 10**9), STRINGS)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
TABLES = st.recursive(
    st.dictionaries(NAMES, VALUES, max_size=4),
    lambda inner: st.dictionaries(NAMES, inner | st.lists(inner, min_size=1, max_size=3), max_size=3),
    max_leaves=6,
)


def spell(value: Any, gap: str) -> str:
    """Write a value inline; `gap` stands where lists allow blanks, line ends and comments."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return format_text(value)
    if isinstance(value, list):
        return f"[{gap}" + f",{gap}".join(spell(each, gap) for each in value) + f"{gap}]"
    return "{ " + ", ".join(f"{format_key(key)} = {spell(each, gap)}" for key, each in value.items()) + " }"


def write(table: dict[str, Any], header: tuple[str, ...], gap: str) -> str:
    """Write a table: plain keys first, then sub-tables below headers of their own, and lists of tables as such."""
    text, later = "", ""
    for key, value in table.items():
        name = (*header, key)
        dotted = " . ".join(format_key(part) for part in name)
        if isinstance(value, dict):
            later += f"[{dotted}] # {key!r}\n{write(value, name, gap)}".replace("\x7f", "")
        elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            later += "".join(f"\n[[ {dotted} ]]\n{write(each, name, gap)}" for each in value)
        else:
            text += f"\t{format_key(key)}={spell(value, gap)}\n"
    return text + later


@settings(max_examples=120, deadline=None)
@given(TABLES, st.sampled_from(["", " ", "\n", " # ] } , [\n  ", "\r\n"]))
def test_law_the_place_of_a_key_is_where_its_name_is(table: dict[str, Any], gap: str) -> None:
    text = write(table, (), gap)
    parsed = tomli.loads(text)
    assert parsed == table
    text = text.replace("\r\n", "\n")
    positions = locate(text)
    found = set(paths(parsed))
    assert found == set(positions.offsets)
    lines = text.split("\n")
    for path in found:
        line, column = positions.find(path)
        key = path[-1]
        rest = lines[line - 1][column - 1 :]
        if isinstance(key, str):
            assert rest.startswith(format_key(key))
        elif not isinstance(value := _get(parsed, path), dict):
            assert rest.startswith(spell(value, gap).split("\n")[0].rstrip("\r"))


def _get(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("rest", ["b 2", "[b = 2", "b = <1>\nc", "b = {\n? = 1"])
def test_what_a_later_toml_may_have_ends_the_search_without_a_failure(rest: str) -> None:
    positions = locate(f"a = 1\n{rest}\nz = 3\n")
    assert positions.find(("a",)) == (1, 1)
    assert ("z",) not in positions.offsets


def test_a_deep_key_takes_no_quadratic_time() -> None:
    text = "a" + ".a" * 100_000 + " = 1\n"
    start = time.perf_counter()
    positions = locate(text)
    assert time.perf_counter() - start < 2
    assert len(positions.offsets) == MOST_PARTS

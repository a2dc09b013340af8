"""docs/envgit.schema.json says what the checks say."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import tomli

from envgit.declaration.schema import format_schema, make_schema
from envgit.declaration.tables import BODY, ENVIRONMENT, HEAD, TOP
from tests.declaration.examples import BASE, WHOLE, read
from tests.declaration.test_bad_declarations import CASES
from tests.declaration.test_merging import FILES, PAIR

FILE = Path(__file__).parents[2] / "docs" / "envgit.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(make_schema())

ONLY_CHECKED = (
    "asked for already",
    "is there already, in line",
    "called 'x' as well",
    "none beside the named ones",
    "too (line",
    "'..' is not resolved",
    "several sources go into",
    "a content makes a file",
    "is no port",
    "set by envgit",
    "choose nothing",
)
"""What a schema cannot say, or not well: duplicates, and what goes together."""


def test_the_file_is_current() -> None:
    assert FILE.read_bytes() == format_schema(), "write it anew: python -m tests.declaration.write_schema"


def test_it_is_a_schema_of_its_dialect() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(FILE.read_text()))


@pytest.mark.parametrize("text", [WHOLE, PAIR, BASE, "", *(text for text in FILES.values())])
def test_good_declarations_are_valid(text: str) -> None:
    VALIDATOR.validate(tomli.loads(text))


def parsed_cases() -> list[tuple[str, str]]:
    """Return the bad declarations that are TOML, with their messages."""
    cases = []
    for case in CASES:
        text, message = case.split("\n--\n")
        if "not TOML" not in message and "merge conflict" not in message:
            cases.append((text, message))
    return cases


@pytest.mark.parametrize(("text", "message"), parsed_cases())
def test_bad_declarations_are_not_valid(text: str, message: str) -> None:
    accepted = any(reason in message for reason in ONLY_CHECKED)
    fields = tomli.loads(text)
    if "nan" in message:
        return  # JSON has no such number
    assert VALIDATOR.is_valid(fields) == accepted


def test_every_key_has_a_description() -> None:
    schema = make_schema()
    tables = [schema, *schema["$defs"].values()]
    properties = [each for table in tables for each in table["properties"].values()]
    assert len(properties) > 60
    assert all(len(each["description"]) > 8 for each in properties)


def test_the_tables_of_an_environment_are_the_same_at_top_level_and_below_a_name() -> None:
    assert set(ENVIRONMENT.keys) == set(HEAD.keys) - {"name"} | set(BODY)
    assert set(TOP.keys) == {"env", *BODY}


def test_the_documentation_names_every_key() -> None:
    text = (FILE.parent / "declaration.md").read_text()
    tables = make_schema()["$defs"].values()
    missing = {key for table in tables for key in table["properties"] if f"`{key}`" not in text}
    assert missing - {"packages", "files", "step", "config", "sandbox"} == set()


def test_the_example_of_the_documentation_is_a_declaration() -> None:
    text = (FILE.parent / "declaration.md").read_text()
    for start, end in (("    [env]\n", "\nUnits are built"), ("    [env.base]\n", "\n`[packages]`, `[files]`")):
        example = "\n".join(line.strip() for line in text[text.index(start) : text.index(end)].split("\n"))
        assert read(example).environments
        VALIDATOR.validate(tomli.loads(example))

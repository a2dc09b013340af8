"""The JSON Schema of envgit.toml, from the same data as the checks: docs/envgit.schema.json is its text."""

from __future__ import annotations

import json

from .kinds import Schema
from .tables import BODY, CONFIG, ENVIRONMENT, FILE, HEAD, PACKAGES, SANDBOX, STEP, TOP
from .terms import ENVIRONMENT_NAME

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def make_schema() -> Schema:
    """Return the schema. It cannot say all that the checks say: duplicates, cycles, a missing base, what goes with what."""
    tables = (PACKAGES, FILE, STEP, CONFIG, SANDBOX, ENVIRONMENT, HEAD)
    schema: Schema = {"$schema": DIALECT, "title": "envgit.toml"} | TOP.definition()
    schema["$defs"] = {table.name: table.definition() for table in tables}
    reserved = {"enum": sorted(BODY)}
    named = {"propertyNames": {"anyOf": [{"enum": sorted(HEAD.keys)}, ENVIRONMENT_NAME.schema()], "not": reserved}}
    schema["$defs"][HEAD.name] |= named | {"additionalProperties": ENVIRONMENT.schema()}
    return schema


def format_schema() -> bytes:
    """Return the text of the schema file."""
    return (json.dumps(make_schema(), indent=2, ensure_ascii=False) + "\n").encode()

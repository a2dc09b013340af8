"""envgit.toml to values: reading, checking and splitting into environments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .errors import DeclarationError
from .kinds import Table
from .reading import read_environment
from .spot import Spot, shorten
from .tables import BODY, ENVIRONMENT, HEAD, TOP
from .terms import ENVIRONMENT_NAME
from .toml_text import format_key, read_located_toml
from .values import Declaration, Environment

DEFAULT_NAME = "default"
"""Of the environment of [env] that says no name."""


def parse(text: bytes, file: str) -> Declaration:
    """Parse a declaration; `file` is its name in messages. Nothing is merged: see merging.resolve.

    Raises DeclarationError, whose message begins with FILE:LINE:COLUMN.
    """
    fields, positions = read_located_toml(text, file)
    top = Spot(file, positions)
    for key in fields:
        if key not in TOP.keys:
            raise TOP.unknown(key, top, _where_it_belongs(key))
    env = fields.get("env", {})
    if not isinstance(env, dict):
        raise top.at("env").wrong_type(
            env, "a table", "write [env]" if isinstance(env, list) else 'write [env] and from = "..."'
        )
    names = [key for key, value in env.items() if isinstance(value, dict) and key not in HEAD.keys]
    environments = _read_default(
        fields, {key: value for key, value in env.items() if key not in names}, top, bool(names)
    )
    default = environments[0].name if environments else ""
    environments += [_read_named(name, env[name], top.at("env").at(name)) for name in names]
    _refuse_same_names(environments)
    return Declaration(file, text, tuple(environments), default)


def _read_default(fields: Mapping[str, Any], head: dict[str, Any], top: Spot, has_others: bool) -> list[Environment]:
    """Return the environment of the top level; none when the file has named ones only, or nothing at all."""
    body = {key: value for key, value in fields.items() if key in BODY}
    if not head and not body and (has_others or "env" not in fields):
        return []
    start = next((key for key in ("env", *fields) if key in fields and (key != "env" or head or not has_others)), "env")
    if has_others and not head:
        header = "[[step]]" if start == "step" else f"[{start}]"
        message = f"{header} belongs to the environment of [env], and there is none beside the named ones"
        raise top.at(start).error(message, f"write [env.NAME.{start}], or give [env] a base: from = ...")
    misplaced = next((key for key in head if key in BODY), None)
    if misplaced is not None:
        message = f"'{misplaced}' is no key of [env]"
        raise top.at("env").at(misplaced).error(message, f"it is a table of its own, at the top level: [{misplaced}]")
    checked = HEAD.check(head, top.at("env"))
    values = {key: BODY[key].kind.check(value, top.at(key)) for key, value in body.items()}
    return [
        read_environment(checked.pop("name", DEFAULT_NAME), checked | values, top.at("env"), top, top.at(start).place)
    ]


def _read_named(name: str, fields: dict[str, Any], spot: Spot) -> Environment:
    if name in BODY:
        hint = f"write [{name}], or [env.NAME.{name}]" if name != "step" else "write [[step]], or [[env.NAME.step]]"
        raise spot.error(f"[env.{name}] would be an environment called '{name}'", hint)
    if not re.fullmatch(ENVIRONMENT_NAME.pattern, name):
        raise spot.error(f"an environment cannot be called {shorten(name)}", f"it is {ENVIRONMENT_NAME.meaning}")
    checked = ENVIRONMENT.check(fields, spot)
    return read_environment(name, checked, spot, spot, spot.place)


def _refuse_same_names(environments: list[Environment]) -> None:
    first: dict[str, Environment] = {}
    for each in environments:
        if each.name in first:
            message = f"the environment of [env] is called '{each.name}', too (line {first[each.name].place.line})"
            raise DeclarationError(each.place, message, hint='rename one: [env] name = "...", or [env.NAME]')
        first[each.name] = each


def _where_it_belongs(key: str) -> str | None:
    """Return a hint for a key at top level that some table has."""
    tables: tuple[Table, ...] = (HEAD, *(kind for each in BODY.values() if isinstance(kind := each.kind, Table)))
    for table in tables:
        if key in table.keys:
            return f"'{format_key(key)}' belongs into [{table.name}]: write that line first"
    return None

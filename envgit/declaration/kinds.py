"""Kinds of values: each checks a value of a TOML file, and says the same as JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from envgit.light_typing import NamedTuple, Protocol

from .spot import Spot, shorten, suggest

Schema = dict[str, Any]


class Kind(Protocol):
    """Checks and describes one kind of value. A kind changes nothing but lists, which become tuples, and its `alias` values."""

    @property
    def what(self) -> str:
        """What a message calls it, with its article."""

    def check(self, value: object, spot: Spot) -> Any:
        """Return the value; raises DeclarationError."""

    def schema(self) -> Schema: ...


LINE = r"[^\u0000-\u001f\u007f]+"
"""Some text on one line."""

TEXT = r"[^\u0000]*"
"""Any text that a program can be given."""

ANYTHING = r"[\s\S]*"


class Text(NamedTuple):
    """A text that matches `pattern` (of a dialect that Python and ECMAScript share) as a whole.

    `meaning`: what it must be when it does not match, as in "an absolute path"; `hint`: an example.
    `check_further`: returns the text as it is to be kept, or raises ValueError("what is wrong", hint).
    """

    pattern: str = LINE
    meaning: str = "a text on one line, not empty"
    hint: str | None = None
    check_further: Callable[[str], str] | None = None
    examples: tuple[str, ...] = ()
    numbers_can_be_quoted: bool = True
    """A number in its place is meant as its digits. Not so where it may be octal."""

    @property
    def what(self) -> str:
        return "a text"

    def check(self, value: object, spot: Spot) -> str:
        if not isinstance(value, str):
            is_number = not isinstance(value, bool) and isinstance(value, int | float)
            quoted = f'put it in quotes: "{shorten(value)}"' if is_number and self.numbers_can_be_quoted else self.hint
            raise spot.wrong_type(value, self.what, quoted)
        if not re.fullmatch(self.pattern, value):
            raise spot.error(f"{spot.name} must be {self.meaning}, not {shorten(value)}", self.hint)
        if self.check_further is None:
            return value
        try:
            return self.check_further(value)
        except ValueError as error:
            raise spot.error(f"{spot.name}: {error.args[0]}", error.args[1]) from error

    def schema(self) -> Schema:
        schema: Schema = {"type": "string"}
        if self.pattern != ANYTHING:
            schema["pattern"] = f"^(?:{self.pattern})$"
        if self.examples:
            schema["examples"] = list(self.examples)
        return schema


class Flag(NamedTuple):
    @property
    def what(self) -> str:
        return "true or false"

    def check(self, value: object, spot: Spot) -> bool:
        if not isinstance(value, bool):
            raise spot.wrong_type(value, self.what, "without quotes" if value in ("true", "false") else None)
        return value

    def schema(self) -> Schema:
        return {"type": "boolean"}


class Number(NamedTuple):
    """A number; becomes a text. `whole`: an integer."""

    least: int
    most: int
    whole: bool = True

    @property
    def what(self) -> str:
        limit = f" to {self.most}" if self.most < 2**53 else ""
        return f"a {'whole ' if self.whole else ''}number from {self.least}{limit}"

    def check(self, value: object, spot: Spot) -> str:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            raise spot.wrong_type(value, self.what)
        if not self.least <= value <= self.most:  # false for NaN as well
            raise spot.error(f"{spot.name} must be {self.what}, not {shorten(value)}")
        return repr(value) if "e" not in repr(value) else f"{value:.9f}"

    def schema(self) -> Schema:
        return {"type": "integer" if self.whole else "number", "minimum": self.least, "maximum": self.most}


class Choice(NamedTuple):
    """One of some words, or a flag that stands for one of them."""

    words: tuple[str, ...]
    yes: str = ""
    no: str = ""

    @property
    def what(self) -> str:
        words = [*(["true", "false"] if self.yes else []), *(f'"{word}"' for word in self.words)]
        return f"{', '.join(words[:-1])} or {words[-1]}"

    def check(self, value: object, spot: Spot) -> str:
        if self.yes and isinstance(value, bool):
            return self.yes if value else self.no
        if isinstance(value, str) and value in self.words:
            return value
        if isinstance(value, str):
            raise spot.error(f"{spot.name} must be {self.what}, not {shorten(value)}", suggest(value, self.words))
        raise spot.wrong_type(value, self.what)

    def schema(self) -> Schema:
        return {"enum": [*((True, False) if self.yes else ()), *self.words]}


class ListOf(NamedTuple):
    """A list whose items differ. `fewest`: how many it has at least."""

    item: Kind
    fewest: int = 0
    unique: bool = True

    @property
    def what(self) -> str:
        return "a list"

    def check(self, value: object, spot: Spot) -> tuple[Any, ...]:
        if not isinstance(value, list):
            header = self.item.header if isinstance(self.item, Table) else ""
            raise spot.wrong_type(value, self.what, f"write {header}" if header else f'as in {spot.path[-1]} = ["..."]')
        if len(value) < self.fewest:
            raise spot.error(f"{spot.name} must not be an empty list")
        items = tuple(self.item.check(item, spot.at(number)) for number, item in enumerate(value))
        if self.unique and len(set(items)) < len(items):
            number = next(number for number, item in enumerate(items) if item in items[:number])
            raise spot.at(number).error(
                f"{spot.at(number).name} is there already: {shorten(value[number])}", "leave it out"
            )
        return items

    def schema(self) -> Schema:
        schema: Schema = {"type": "array", "items": self.item.schema()}
        if self.fewest:
            schema["minItems"] = self.fewest
        return schema | ({"uniqueItems": True} if self.unique else {})


class OneOf(NamedTuple):
    """The first kind whose JSON type the value has; `kinds` have different ones."""

    kinds: tuple[Kind, ...]

    @property
    def what(self) -> str:
        return " or ".join(kind.what for kind in self.kinds)

    def check(self, value: object, spot: Spot) -> Any:
        for kind in self.kinds:
            if _has_type(value, kind):
                return kind.check(value, spot)
        raise spot.wrong_type(value, self.what)

    def schema(self) -> Schema:
        return {"anyOf": [kind.schema() for kind in self.kinds]}


def _has_type(value: object, kind: Kind) -> bool:
    if isinstance(value, bool):
        return isinstance(kind, Flag)
    if isinstance(value, str):
        return isinstance(kind, Text)
    return isinstance(
        kind, Number if isinstance(value, int | float) else ListOf if isinstance(value, list) else TableOf
    )


class TableOf(NamedTuple):
    """A table with keys of the user's choice. Becomes a dict of checked values under the keys as written."""

    key: Text
    item: Kind

    @property
    def what(self) -> str:
        return "a table"

    def check(self, value: object, spot: Spot) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise spot.wrong_type(value, self.what, f'as in {spot.path[-1]} = {{ NAME = "..." }}')
        return {key: self.item.check(item, self._check_key(key, spot.at(key))) for key, item in value.items()}

    def _check_key(self, key: str, spot: Spot) -> Spot:
        if not re.fullmatch(self.key.pattern, key):
            table = spot._replace(path=spot.path[:-1]).table
            raise spot.error(f"a key of {table} must be {self.key.meaning}, not {shorten(key)}", self.key.hint)
        if self.key.check_further is not None:
            try:
                self.key.check_further(key)
            except ValueError as error:
                raise spot.error(f"{shorten(key)}: {error.args[0]}", error.args[1]) from error
        return spot

    def schema(self) -> Schema:
        keys = {"pattern": f"^(?:{self.key.pattern})$"}
        return {"type": "object", "propertyNames": keys, "additionalProperties": self.item.schema()}


class Key(NamedTuple):
    """A key of a Table. `help`: one sentence, which editors show."""

    kind: Kind
    help: str


class Table(NamedTuple):
    """A table of known keys; `name` is that of its definition in the schema.

    `required`: keys that must be there; `exactly_one`: of these there must be one. `other_words`: what people write for a key.
    `refused`: keys with the reason why there are none such, and a hint.
    """

    name: str
    help: str
    keys: Mapping[str, Key]
    required: tuple[str, ...] = ()
    exactly_one: tuple[str, ...] = ()
    other_words: Mapping[str, str] = {}
    refused: Mapping[str, tuple[str, str]] = {}
    header: str = ""
    """How it is written, for who gives something else: "[config]"."""

    @property
    def what(self) -> str:
        return "a table"

    def check(self, value: object, spot: Spot) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise spot.wrong_type(value, self.what, f"write {self.header}" if self.header else None)
        for key in value:
            if key not in self.keys:
                raise self.unknown(key, spot)
        checked = {key: self.keys[key].kind.check(item, spot.at(key)) for key, item in value.items()}
        for key in self.required:
            if key not in checked:
                raise spot.error(f"{spot.table} has no '{key}'", f"it needs: {key} = ...")
        given = [key for key in self.exactly_one if key in checked]
        if self.exactly_one and len(given) != 1:
            names = " or ".join(f"'{key}'" for key in self.exactly_one)
            raise spot.error(f"{spot.table} must have {names}, {'not both' if given else 'and has neither'}")
        return checked

    def unknown(self, key: str, spot: Spot, hint: str | None = None) -> Exception:
        """Return the error for a key that this table does not have."""
        if key in self.refused:
            reason, instead = self.refused[key]
            return spot.at(key).error(f"'{key}' is refused: {reason}", instead)
        near = suggest(key, self.keys, dict(self.other_words)) or hint
        where = f"in {spot.table}" if spot.path else "at the top level"
        known = f"known are: {', '.join(self.keys)}"
        return spot.at(key).error(f"unknown key '{key}' {where}", near or known)

    def schema(self) -> Schema:
        return {"$ref": f"#/$defs/{self.name}"}

    def definition(self) -> Schema:
        """Return the schema that the reference of `schema` leads to."""
        schema: Schema = {
            "type": "object",
            "description": self.help,
            "properties": {name: key.kind.schema() | {"description": key.help} for name, key in self.keys.items()},
            "additionalProperties": False,
        }
        if self.required:
            schema["required"] = list(self.required)
        if self.exactly_one:
            schema["oneOf"] = [{"required": [key]} for key in self.exactly_one]
        return schema

"""Untrusted JSON read field by field: every access checks the type and names the field that is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from envgit.errors import SandboxError


class Fields:
    """An object of config.json; `name` is where it is, such as `process.user`. Raises SandboxError for wrong types."""

    __slots__ = ("name", "value")

    def __init__(self, value: Any, name: str) -> None:
        if not isinstance(value, dict):
            raise _wrong(name, "an object")
        self.value: dict[str, Any] = value
        self.name = name

    def has(self, key: str) -> bool:
        """Return whether a field is there and says something: null, "", [], {}, false say nothing."""
        return bool(self.value.get(key))

    def names(self) -> list[str]:
        return sorted(key for key in self.value if self.has(key))

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string without NUL; without a default it is required."""
        value = self._get(key, default, str, "a string")
        return _checked(value, self._path(key))

    def number(self, key: str, default: int | None = None, least: int = 0, most: int = 2**64 - 1) -> int:
        value = self.value.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _wrong(self._path(key), f"a number from {least} to {most}")
        return value

    def flag(self, key: str) -> bool:
        value: bool = self._get(key, False, bool, "true or false")
        return value

    def object(self, key: str) -> Fields:
        """Return an object, an empty one when it is missing."""
        value = self.value.get(key)
        return Fields({} if value is None else value, self._path(key))

    def texts(self, key: str) -> tuple[str, ...]:
        path = self._path(key)
        return tuple(_checked(each, f"{path}[{number}]") for number, each in enumerate(self._list(key)))

    def objects(self, key: str) -> Iterator[Fields]:
        path = self._path(key)
        for number, each in enumerate(self._list(key)):
            yield Fields(each, f"{path}[{number}]")

    def numbers(self, key: str, most: int = 2**32 - 2) -> tuple[int, ...]:
        path = self._path(key)
        values = self._list(key)
        return tuple(
            Fields({"": each}, f"{path}[{number}]").number("", most=most) for number, each in enumerate(values)
        )

    def mapping(self, key: str) -> dict[str, str]:
        inner = self.object(key)
        return {_checked(name, inner.name): inner.text(name) for name in inner.value}

    def _list(self, key: str) -> list[Any]:
        value = self.value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise _wrong(self._path(key), "a list")
        return value

    def _get(self, key: str, default: Any, kind: type, what: str) -> Any:
        value = self.value.get(key)
        if value is None:
            value = default
        if not isinstance(value, kind):
            raise _wrong(self._path(key), what)
        return value

    def _path(self, key: str) -> str:
        if not key:
            return self.name
        return f"{self.name}.{key}" if self.name else key


def parse_object(text: bytes, what: str) -> Any:
    """Decode JSON; SandboxError for what is none, or is nested so deeply that decoding fails."""
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SandboxError(f"{what} is not JSON: {str(error)[:200]}") from error


def _checked(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(name, "a string")
    try:
        if b"\0" in os.fsencode(value):
            raise SandboxError(f"config.json: {name} contains NUL")
    except UnicodeEncodeError as error:
        raise SandboxError(f"config.json: {name} is not text: half a surrogate pair") from error
    return value


def _wrong(name: str, what: str) -> SandboxError:
    return SandboxError(f"config.json: {name or 'the whole'} must be {what}")

"""A value of a declaration while it is checked: where it is and what messages call it."""

from __future__ import annotations

from collections.abc import Iterable

from envgit.light_typing import NamedTuple
from envgit.suggestion import did_you_mean

from .errors import DeclarationError
from .locating import Path, Positions
from .toml_text import format_key
from .values import Place


class Spot(NamedTuple):
    file: str
    positions: Positions
    path: Path = ()

    def at(self, key: str | int) -> Spot:
        """Return the spot of a key or item of this one."""
        return self._replace(path=(*self.path, key))

    @property
    def place(self) -> Place:
        """Where it is written."""
        return Place(self.file, *self.positions.find(self.path))

    @property
    def name(self) -> str:
        """What a message calls it: 'run', item 2 of 'apt'."""
        if not self.path:
            return "the file"
        last = self.path[-1]
        if isinstance(last, str):
            return f"'{last}'"
        return f"item {last + 1} of '{self.path[-2]}'"

    @property
    def table(self) -> str:
        """What a message calls it as a table: [env.web], [[step]], [files] "/etc/motd"."""
        names = [part for part in self.path if isinstance(part, str)]
        if not names:
            return "the file"
        header = ".".join(format_key(name) for name in names)
        return f"[[{header}]]" if isinstance(self.path[-1], int) else f"[{header}]"

    def error(self, message: str, hint: str | None = None) -> DeclarationError:
        """Return an error about this spot."""
        return DeclarationError(self.place, message, hint=hint)

    def wrong_type(self, value: object, wanted: str, hint: str | None = None) -> DeclarationError:
        """Return the error for a value of another type than `wanted`."""
        return self.error(f"{self.name} must be {wanted}, not {describe_type(value)}", hint)


def describe_type(value: object) -> str:
    """Return what TOML calls a value, with the value where it is short: the number 3, true, a list."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}" if len(str(value)) < 20 else "a number"
    if value is None or isinstance(value, str):
        return "a text" if value is not None else "null"
    return "a list" if isinstance(value, list) else "a table" if isinstance(value, dict) else "a date or time"


def shorten(value: object) -> str:
    """Return a value as a message quotes it: on one line, not long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}..."


def suggest(word: str, known: Iterable[str], other_words: dict[str, str] | None = None) -> str | None:
    """Return "did you mean 'WORD'?" for the known word that is meant most probably, or None."""
    plain = word.lower().replace("-", "_")
    meant = (other_words or {}).get(plain)
    return f"did you mean '{meant}'?" if meant else did_you_mean(plain, known, "'{}'")

"""Where in a TOML text each key and each item of a list is. The parser does not tell, and messages need it.

The grammar is TOML 1.1's (https://toml.io/en/v1.1.0), of which 1.0 is a part, for texts that a parser has accepted already:
what is wrong with a text is not found here.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress

from envgit.light_typing import NamedTuple, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Keys of tables and indexes of lists, from the top: ("step", 0, "run")."""

MOST_PARTS = 64
"""Of a path: deeper ones are located where their 64th part is. Keeps the work linear in the size of the text."""

_SPACE = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[^\s.=\[\]\"'#,{}]+")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]*")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_PLAIN_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


class Positions(NamedTuple):
    """Offsets in characters by path, and where lines begin."""

    offsets: Mapping[Path, int]
    line_starts: tuple[int, ...]
    headers: tuple[tuple[tuple[str, ...], int], ...] = ()
    """Of each table header in the text its names, and where it begins."""

    def find(self, path: Path) -> tuple[int, int]:
        """Return line and column, from 1, of a key or item; of the nearest that holds it when it has none; (1, 1) at last.

        Nothing has a place in NOWHERE: (0, 0).
        """
        for length in range(len(path), 0, -1):
            offset = self.offsets.get(path[:length])
            if offset is not None:
                line = bisect_right(self.line_starts, offset)
                return line, offset - self.line_starts[line - 1] + 1
        return (1, 1) if self.line_starts else (0, 0)


NOWHERE = Positions({}, ())
"""Of values that were not read from a TOML text."""


def locate(text: str) -> Positions:
    """Return the position of everything in a valid TOML text. Line ends count as they are: after each newline.

    A key is where its name begins, in the table header or assignment that says it explicitly, else where it is first
    implied; an item of a list where its value begins, a table of a list (`[[step]]`) where its name is. What comes after
    something that is not TOML 1.1 has no place. Raises RecursionError for what is nested hundreds of levels deep.
    """
    scanner = _Scanner(text)
    with suppress(_Unknown):
        scanner.scan()
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    return Positions(scanner.found, tuple(starts), tuple(scanner.headers))


class _Unknown(Exception):
    """The text goes on with something that is not TOML as it is known here."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[Path, int] = {}
        self.headers: list[tuple[tuple[str, ...], int]] = []
        self.counts: dict[Path, int] = {}
        """How many tables an array of tables has by now."""

    def scan(self) -> None:
        table: Path = ()
        while True:
            self._skip(_GAP)
            if self.at >= len(self.text):
                return
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._assignment(table)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise _Unknown
        self.at = match.end()
        return match.group()

    def _expect(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            raise _Unknown
        self.at += len(mark)

    def _header(self) -> Path:
        is_list = self.text.startswith("[[", self.at)
        mark = "[[" if is_list else "["
        start = self.at
        self._expect(mark)
        parts = self._key()
        self.headers.append((tuple(name for name, _ in parts), start))
        self._expect("]" * len(mark))
        path: Path = ()
        for name, offset in parts[:-1]:
            path = self._imply((*path, name), offset)
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
        name, offset = parts[-1]
        path = (*path, name)
        if not is_list:
            self.found[path] = offset
            return path
        self.found.setdefault(path, offset)
        number = self.counts.get(path, 0)
        self.counts[path] = number + 1
        path = (*path, number)
        self.found[path] = offset
        return path

    def _assignment(self, table: Path) -> None:
        parts = self._key()
        path = table
        for name, offset in parts[:-1]:
            path = self._imply((*path, name), offset)
        path = (*path, parts[-1][0])
        self.found[path] = parts[-1][1]
        self._expect("=")
        self._skip(_SPACE)
        self._value(path)

    def _imply(self, path: Path, offset: int) -> Path:
        self.found.setdefault(path, offset)
        return path

    def _key(self) -> list[tuple[str, int]]:
        """Read a dotted key; return its parts with their offsets. Too many parts are cut."""
        parts: list[tuple[str, int]] = []
        while True:
            self._skip(_SPACE)
            start = self.at
            name = self._skip(_STRING if self.text[start : start + 1] in ("'", '"') else _BARE_KEY)
            if len(parts) < MOST_PARTS:
                parts.append((_unquote(name), start))
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def _value(self, path: Path) -> None:
        first = self.text[self.at : self.at + 1]
        if first == "[":
            self._list(path)
        elif first == "{":
            self._inline_table(path)
        else:
            self._skip(_STRING if first in ("'", '"') else _SCALAR)

    def _list(self, path: Path) -> None:
        self._expect("[")
        number = 0
        self._skip(_GAP)
        while not self.text.startswith("]", self.at):
            item = (*path, number) if len(path) < MOST_PARTS else path
            self.found.setdefault(item, self.at)
            self._value(item)
            number += 1
            self._skip(_GAP)
            if self.text.startswith(",", self.at):
                self.at += 1
                self._skip(_GAP)
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self._expect("{")
        self._skip(_GAP)
        while not self.text.startswith("}", self.at):
            self._assignment(path)
            self._skip(_GAP)
            if self.text.startswith(",", self.at):
                self.at += 1
                self._skip(_GAP)
        self.at += 1


def _unquote(name: str) -> str:
    if name.startswith("'"):
        return name[1:-1]
    return _ESCAPE.sub(_unescape, name[1:-1]) if name.startswith('"') else name


def _unescape(match: re.Match[str]) -> str:
    digits = match[1] or match[2] or match[3]
    return chr(int(digits, 16)) if digits else _PLAIN_ESCAPES.get(match[4], match[4])

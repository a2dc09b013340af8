"""TOML: reading it with the place of every mistake, and the spelling of keys and texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import tomli

from .errors import DeclarationError
from .locating import Positions, locate
from .values import Place

MOST_BYTES = 4 << 20
"""Of a declaration; of a lock see lock_file."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_SPECIAL = re.compile(r'["\\\x00-\x1f\x7f]')
_PLAIN = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]*")
"""What a literal text may hold: all but control characters."""
_QUOTED = r"'((?:[^'\\]|\\.)*)'"
_TUPLE = re.compile(rf"\({_QUOTED}(?:, {_QUOTED})*,?\)")
_HINTS = {
    "invalid value": 'texts are quoted: name = "..."',
    "cannot overwrite": "this key has a value already",
    "cannot declare": "put all keys of a table below one header",
}
_CONFLICT = re.compile(rb"^(?:<{7} |>{7} |\|{7} |={7}$)", re.MULTILINE)


def read_toml(text: bytes, file: str, most_bytes: int = MOST_BYTES) -> dict[str, Any]:
    """Parse a TOML file. A byte order mark is ignored. Raises DeclarationError with line and column."""
    return _load(_decode(text, file, most_bytes), text, file)


def read_located_toml(text: bytes, file: str, most_bytes: int = MOST_BYTES) -> tuple[dict[str, Any], Positions]:
    """Parse a TOML file as read_toml does; return also where everything is."""
    plain = _decode(text, file, most_bytes)
    fields = _load(plain, text, file)
    try:
        return fields, locate(plain)
    except RecursionError as error:
        raise DeclarationError(Place(file), "its lists and tables are nested too deeply") from error


def _decode(text: bytes, file: str, most_bytes: int) -> str:
    if len(text) > most_bytes:
        raise DeclarationError(Place(file), f"{len(text)} bytes are too long: the most is {most_bytes >> 20} MiB")
    try:
        return text.removeprefix(b"\xef\xbb\xbf").decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = text[: error.start].removeprefix(b"\xef\xbb\xbf")
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode()) + 1
        place = Place(file, line, column)
        raise DeclarationError(place, "this is not UTF-8", hint="save the file in the encoding UTF-8") from error


def _load(plain: str, text: bytes, file: str) -> dict[str, Any]:
    try:
        return tomli.loads(plain)
    except tomli.TOMLDecodeError as error:
        raise _syntax_error(error, text, file) from error
    except RecursionError as error:
        raise DeclarationError(Place(file), "its lists and tables are nested too deeply") from error
    except ValueError as error:  # int() refuses thousands of digits
        raise DeclarationError(Place(file), "it has a number that is too long") from error


def _syntax_error(error: tomli.TOMLDecodeError, text: bytes, file: str) -> DeclarationError:
    hint: str | None
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        line = text.count(b"\n", 0, conflict.start()) + 1
        hint = f"choose one side in an editor, or take one whole: git checkout --ours {file}"
        return DeclarationError(Place(file, line, 1), "this is the mark of a merge conflict", hint=hint)
    message = _TUPLE.sub(lambda match: f"[{'.'.join(re.findall(_QUOTED, match[0]))}]", error.msg)
    message = message[:1].lower() + message[1:]
    hint = next((hint for start, hint in _HINTS.items() if message.startswith(start)), None)
    return DeclarationError(Place(file, error.lineno, error.colno), f"not TOML: {message}", hint=hint)


def format_text(text: str) -> str:
    """Return a basic string, on one line. `text` has no lone surrogates."""
    return '"' + _SPECIAL.sub(lambda match: _ESCAPES.get(match[0]) or f"\\u{ord(match[0]):04x}", text) + '"'


def format_key(name: str) -> str:
    """Return a key, quoted only where it must be."""
    return name if _BARE_KEY.fullmatch(name) else format_text(name)


def format_value(value: object) -> str:
    """Return a value on one line: texts, booleans, whole numbers, and lists and tables of values. Raises TypeError for others."""
    if isinstance(value, str):
        return format_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(format_value(each) for each in value)}]"
    if isinstance(value, Mapping):
        fields = ", ".join(f"{format_key(key)} = {format_value(each)}" for key, each in value.items())
        return f"{{ {fields} }}" if fields else "{}"
    raise TypeError(f"no value of a declaration: {value!r}")


def format_block(value: object) -> str:
    """Return a value as format_value does, but a text of several lines as it is, on lines of its own, where TOML can say that.

    Its quotes are those in which nothing is escaped: of a script, what is written is what runs.
    """
    if not isinstance(value, str) or "\n" not in value.strip("\n") or not _PLAIN.fullmatch(value):
        return format_value(value)
    for quotes in ("'''", '"""'):
        if quotes not in value and not value.endswith(quotes[0]) and (quotes == "'''" or "\\" not in value):
            return f"{quotes}\n{value}{quotes}"
    return format_value(value)

"""The forms in which instructions take arguments: flags, words, pairs, JSON arrays (the exec form)."""

from __future__ import annotations

import json
import re

from envgit.dockerfile.errors import ExpansionError
from envgit.dockerfile.instructions import Pair
from envgit.dockerfile.whitespace import SPACE, split_blank

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class NotStrings(ExpansionError):
    """A JSON array with an item that is no string, or none that a program could be given."""


def split_flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """Split leading words that begin with -- from the rest, and remove their quotes and escapes; the word -- ends them."""
    flags: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at] in SPACE:
            at += 1
        if not text.startswith("--", at):
            return tuple(flags), text[at:].strip(SPACE)
        word, at = _read_flag(text, at, escape)
        if word == "--":
            return tuple(flags), text[at:].strip(SPACE)
        flags.append(word)


def _read_flag(text: str, at: int, escape: str) -> tuple[str, int]:
    """Read a word; quotes that do not end reach to the end of the text."""
    word: list[str] = []
    quote = ""
    while at < len(text):
        char = text[at]
        at += 1
        if quote and char == quote:
            quote = ""
        elif not quote and char in SPACE:
            return "".join(word), at - 1
        elif not quote and char in "'\"":
            quote = char
        elif char != escape:
            word.append(char)
        elif at < len(text):
            word.append(text[at])
            at += 1
    return "".join(word), at


def split_quoted(text: str, escape: str) -> tuple[str, ...]:
    """Split at spaces that are not quoted; quotes and escapes stay, for words.expand."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if not quote and char in SPACE:
            words += ["".join(word)] * bool(word)
            word.clear()
            continue
        if char == escape and quote != "'":
            if at == len(text):  # nothing is left that it could escape
                break
            word.append(char)
            char = text[at]
            at += 1
        elif char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        word.append(char)
    words += ["".join(word)] * bool(word)
    return tuple(words)


def split_pairs(text: str, escape: str) -> tuple[Pair, ...]:
    """Split `NAME=VALUE ...`, or the older `NAME VALUE` whose value is the rest of the line; raises ExpansionError."""
    words = split_quoted(text, escape)
    if words and "=" not in words[0]:
        name, *value = split_blank(text, 1)
        if not value:
            raise ExpansionError(f"'{name}' has no value", hint=f"write: {name}=VALUE")
        return (Pair(name, value[0], True),)
    for word in words:
        if "=" not in word:
            raise ExpansionError(f"'{word}' has no =", hint=f"quote a value that has spaces: NAME='VALUE {word}'")
    return tuple(Pair(name, value) for name, _, value in (word.partition("=") for word in words))


def parse_json(text: str) -> tuple[str, ...] | None:
    """Parse the exec form; None when the text is no JSON array. Raises NotStrings for an array of anything else."""
    if not text.startswith("["):
        return None
    try:
        items = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_finite)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in items):
        raise NotStrings("the exec form may hold strings only", hint='write numbers as strings: ["sleep", "1"]')
    if any("\0" in item for item in items):
        raise NotStrings("a NUL character in the exec form")
    return tuple(_LONE_SURROGATE.sub("\ufffd", item) for item in items)


def _refuse(name: str) -> None:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number

"""Patterns of COPY and ADD sources: filepath.Match of Go (https://pkg.go.dev/path/filepath#Match).

Patterns and names are text; a name that is not UTF-8 is given as os.fsdecode gives it.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, TypeAlias

from envgit.dockerfile.errors import ExpansionError


class CharClass(NamedTuple):
    """[...]: characters of any of the ranges, or of none of them. May be "/"."""

    ranges: tuple[tuple[str, str], ...]
    is_negated: bool

    def has(self, char: str) -> bool:
        """Say whether a character belongs to it."""
        return any(low <= char <= high for low, high in self.ranges) != self.is_negated


class Wildcard(Enum):
    """Neither stands for a "/"."""

    ANY = "?"
    STAR = "*"
    """Any number of characters, ? is one."""


Token: TypeAlias = str | CharClass | Wildcard
"""A string is one character that stands for itself."""


def is_pattern(text: str) -> bool:
    """Say whether a source is a pattern, or after removal of escapes a plain path."""
    return any(not isinstance(token, str) for token in parse_glob(text))


def match(pattern: str, name: str) -> bool:
    """Say whether the whole name matches; raises ExpansionError for a bad pattern."""
    return match_tokens(parse_glob(pattern), name)


def match_tokens(tokens: tuple[Token, ...], name: str) -> bool:
    """Say whether the whole name matches a pattern that was parsed. What follows a * is taken where it first fits."""
    at, start = 0, 0
    while start < len(tokens):
        has_star = tokens[start] is Wildcard.STAR
        while start < len(tokens) and tokens[start] is Wildcard.STAR:
            start += 1
        end = next((i for i in range(start, len(tokens)) if tokens[i] is Wildcard.STAR), len(tokens))
        if has_star and start == len(tokens):
            return "/" not in name[at:]
        is_last = end == len(tokens)
        while not _fits(tokens[start:end], name, at) or (is_last and at + end - start != len(name)):
            if not has_star or at >= len(name) or name[at] == "/":
                return False
            at += 1
        at += end - start
        start = end
    return at == len(name)


def parse_glob(pattern: str) -> tuple[Token, ...]:
    """Parse a pattern; raises ExpansionError for a bad one."""
    tokens: list[Token] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "[":
            found, at = _parse_class(pattern, at + 1)
            tokens.append(found)
            continue
        if char == "\\":
            at += 1
            if at == len(pattern):
                raise _bad(pattern, "it ends with \\")
        tokens.append(Wildcard(char) if char in "*?" else pattern[at])
        at += 1
    return tuple(tokens)


def _parse_class(pattern: str, at: int) -> tuple[CharClass, int]:
    is_negated = pattern.startswith("^", at)
    at += is_negated
    ranges: list[tuple[str, str]] = []
    while not (ranges and pattern.startswith("]", at)):
        low, at = _class_char(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_char(pattern, at + 1)
        ranges.append((low, high))
    return CharClass(tuple(ranges), is_negated), at + 1


def _class_char(pattern: str, at: int) -> tuple[str, int]:
    """Read a character of a class; a ] must follow somewhere."""
    if pattern.startswith(("-", "]"), at):
        raise _bad(pattern, f"{pattern[at]} is in the wrong place")
    at += pattern.startswith("\\", at)
    if at + 1 >= len(pattern):
        raise _bad(pattern, "a [ has no ]")
    return pattern[at], at + 1


def _fits(tokens: tuple[Token, ...], name: str, at: int) -> bool:
    if len(name) - at < len(tokens):
        return False
    for token, char in zip(tokens, name[at : at + len(tokens)], strict=True):
        if isinstance(token, str):
            is_same = token == char
        elif isinstance(token, CharClass):
            is_same = token.has(char)
        else:
            is_same = char != "/"
        if not is_same:
            return False
    return True


def _bad(pattern: str, why: str) -> ExpansionError:
    return ExpansionError(
        f"'{pattern}' is no pattern: {why}", hint="write \\ before a character that stands for itself"
    )

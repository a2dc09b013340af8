"""Patterns of ${x#p}, ${x%p} and ${x/p/r}: ? is one character, * any number of them; no brackets. Neither matches a newline."""

from __future__ import annotations

from typing import Literal, TypeAlias

from envgit.dockerfile.errors import ExpansionError

_Token: TypeAlias = tuple[Literal["text", "any", "star"], str]


def cut_prefix(pattern: str, value: str, *, longest: bool) -> str:
    """Remove the shortest or longest beginning of the value that matches."""
    ends = _ends(_tokens(pattern), value, 0)
    return value[(max if longest else min)(ends) :] if ends else value


def cut_suffix(pattern: str, value: str, *, longest: bool) -> str:
    """Remove the shortest or longest end of the value that matches."""
    ends = _ends(_tokens(pattern)[::-1], value[::-1], 0)
    return value[: len(value) - (max if longest else min)(ends)] if ends else value


def replace(pattern: str, value: str, replacement: str, *, every: bool) -> str:
    """Replace the first longest match, or every one from left to right; an empty one right after another does not count."""
    tokens = _tokens(pattern)
    parts: list[str] = []
    at = copied = 0
    last = -1
    while at <= len(value):
        end = max(_ends(tokens, value, at), default=-1)
        if end < 0 or (end == at == last):
            at += 1
            continue
        parts += (value[copied:at], replacement)
        copied = last = end
        if not every:
            break
        at = end if end > at else at + 1
    return "".join(parts) + value[copied:]


def _tokens(pattern: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            if not tokens or tokens[-1][0] != "star":
                tokens.append(("star", ""))
        elif char == "?":
            tokens.append(("any", ""))
        elif char != "\\":
            tokens.append(("text", char))
        elif pattern[at : at + 1] in ("*", "?", "\\"):
            tokens.append(("text", pattern[at]))
            at += 1
        elif pattern[at : at + 1] not in ("}", "/"):  # those two are escaped for the sake of ${}
            raise ExpansionError(f"'\\{pattern[at : at + 1]}' in the pattern '{pattern}' of a substitution")
    return tokens


def _ends(tokens: list[_Token], value: str, start: int) -> set[int]:
    """Return where matches that begin at `start` may end; no backtracking, so no pattern takes long."""
    ends = {start}
    for kind, char in tokens:
        if kind == "text":
            ends = {end + 1 for end in ends if value[end : end + 1] == char}
        elif kind == "any":
            ends = {end + 1 for end in ends if value[end : end + 1] not in ("", "\n")}
        else:
            reached: set[int] = set()
            for end in sorted(ends):
                while end not in reached and end <= len(value):
                    reached.add(end)
                    if value[end : end + 1] == "\n":
                        break
                    end += 1
            ends = reached
        if not ends:
            break
    return ends

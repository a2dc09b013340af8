"""One line of a .dockerignore, made a regular expression that takes no long time for any name."""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple

from envgit.dockerfile.errors import ExpansionError
from envgit.dockerfile.glob import CharClass, Token, Wildcard, match_tokens, parse_glob
from envgit.dockerfile.whitespace import SPACE

_DEEP = "(?:.*/)?"
"""What `**` stands for when something follows: nothing, or directories."""


class Rule(NamedTuple):
    """What it matches, itself or by a directory above, is left out, or with `is_exception` not left out."""

    pattern: str
    is_exception: bool
    regex: re.Pattern[str]
    """Of whole paths."""

    def may_match_below(self, directory: str) -> bool:
        """Say whether it may match something below a directory that does not match the directory."""
        names, parts = directory.split("/"), self.pattern.split("/")
        for name, part in zip(names, parts, strict=False):
            if "**" in part or "[" in part or "\\" in part:  # the first two may be of several parts
                return True
            if not match_tokens(parse_glob(part), name):
                return False
        return len(parts) > len(names)


def parse_rule(line: str) -> Rule:
    """Parse a line that is neither empty nor a comment; raises ExpansionError (which knows no line)."""
    line = line.strip(SPACE)
    is_exception = line.startswith("!")
    pattern = line[is_exception:].strip(SPACE)
    if not pattern:
        raise ExpansionError("! without a pattern", hint="write: !PATTERN, or \\! for a name that begins with !")
    pattern = re.sub("^//+", "/", posixpath.normpath(pattern))
    if len(pattern) > 1:
        pattern = pattern.removeprefix("/")
    return Rule(pattern, is_exception, re.compile(f"(?:{_expression(pattern)})(?:/.*)?\\Z", re.DOTALL))


def _expression(pattern: str) -> str:
    tokens = parse_glob(pattern)
    rest = tokens[2:]
    if pattern.startswith("**") and "\\" not in pattern and all(isinstance(token, str) for token in rest):
        # without other wildcards it is any end of a path, that of a name too: **.pyc; but **/name is whole names
        return (_DEEP if rest[:1] == ("/",) else ".*") + _plain(rest[rest[:1] == ("/",) :])
    first, *others = _split_deep(tokens)
    parts = [_plain(first)]
    for at, group in enumerate(others, 1):
        if at == len(others):
            parts.append(_DEEP + _plain(group) if group else ".*")
        elif group and group[-1] == "/" and not any(isinstance(token, CharClass) for token in group):
            # the first place where these directories fit is as good as any, since a ** follows: do not try others
            parts.append(f"(?>(?:.*?/)??{_plain(group)})")
        elif group:
            parts.append(_DEEP + _plain(group))
    return "".join(parts)


def _split_deep(tokens: tuple[Token, ...]) -> list[tuple[Token, ...]]:
    """Split at each `**`, or `**/`."""
    groups: list[tuple[Token, ...]] = []
    start = at = 0
    while at < len(tokens):
        if tokens[at : at + 2] != (Wildcard.STAR, Wildcard.STAR):
            at += 1
            continue
        groups.append(tokens[start:at])
        at += 2
        at += tokens[at : at + 1] == ("/",)
        start = at
    return [*groups, tokens[start:]]


def _plain(tokens: tuple[Token, ...]) -> str:
    """Translate what has no `**`."""
    parts: list[str] = []
    at = 0
    while at < len(tokens):
        if tokens[at] is not Wildcard.STAR:
            parts.append(_single(tokens[at]))
            at += 1
            continue
        end = at + 1
        while end < len(tokens) and isinstance(tokens[end], str | Wildcard) and tokens[end] not in ("/", Wildcard.STAR):
            end += 1
        text = "".join(map(_single, tokens[at + 1 : end]))
        # when another * follows in the same name, the first place where the text fits is as good as any
        is_first_enough = tokens[end : end + 1] == (Wildcard.STAR,)
        parts.append(f"(?>[^/]*?{text})" if is_first_enough else f"[^/]*{text}")
        at = end
    return "".join(parts)


def _single(token: Token) -> str:
    if isinstance(token, str):
        return re.escape(token)
    if isinstance(token, Wildcard):
        return "[^/]"
    for low, high in token.ranges:
        if low > high:
            raise ExpansionError(f"a range from {low} to {high} has no character")
    ranges = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in token.ranges)
    return f"[{'^' * token.is_negated}{ranges}]"

"""One instruction split into its parts by the rules of its name, before it means anything."""

from __future__ import annotations

from typing import NamedTuple

from envgit.dockerfile.arguments import parse_json, split_flags, split_pairs, split_quoted
from envgit.dockerfile.instructions import Pair
from envgit.dockerfile.whitespace import SPACE, split_blank

TEXT = frozenset(("MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR"))
"""Instructions whose argument is the rest of the line as it is."""
JSON_OR_TEXT = frozenset(("CMD", "ENTRYPOINT", "RUN", "SHELL"))
JSON_OR_WORDS = frozenset(("ADD", "COPY", "VOLUME"))
WORDS = frozenset(("EXPOSE", "FROM"))
PAIRS = frozenset(("ENV", "LABEL"))
NAMES = frozenset((*TEXT, *JSON_OR_TEXT, *JSON_OR_WORDS, *WORDS, *PAIRS, "ARG", "HEALTHCHECK", "ONBUILD"))
WITH_HEREDOCS = frozenset(("ADD", "COPY", "RUN"))


class Statement(NamedTuple):
    """`name`: in upper case. `words`: of a shell form and of plain text one word, or none when it is empty."""

    name: str
    flags: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    is_json: bool = False
    pairs: tuple[Pair, ...] = ()
    """Of ENV and LABEL, instead of words."""
    text: str = ""
    """Everything after the flags."""
    trigger: Statement | None = None
    """Of ONBUILD, instead of words."""

    @property
    def takes_heredocs(self) -> bool:
        """Whether `<<NAME` in it announces a heredoc."""
        acting = self.trigger or self
        return acting.name in WITH_HEREDOCS and not acting.is_json


def parse_statement(line: str, escape: str, *, is_trigger: bool = False) -> Statement:
    """Split an instruction; of one that is unknown, or not allowed as a trigger, only the name. Raises ExpansionError."""
    written, *rest = split_blank(line.strip(SPACE), 1)
    name = written.upper() if written.isascii() else written
    flags, text = split_flags(rest[0] if rest else "", escape)
    made = Statement(name, flags, text=text)
    if name in TEXT:
        return made._replace(words=(text,) * bool(text))
    if name in JSON_OR_TEXT:
        return _json_or_text(made, text)
    if name in JSON_OR_WORDS:
        items = parse_json(text)
        return made._replace(words=_words(text)) if items is None else made._replace(words=items, is_json=True)
    if name in WORDS:
        return made._replace(words=_words(text))
    if name in PAIRS:
        return made._replace(pairs=split_pairs(text, escape))
    if name == "ARG":
        return made._replace(words=split_quoted(text, escape))
    if name == "HEALTHCHECK" and text:
        kind, _, command = _cut_word(text)
        made = _json_or_text(made, command)
        return made._replace(words=(kind, *made.words))
    if name == "ONBUILD" and text and not is_trigger:
        return made._replace(trigger=parse_statement(text, escape, is_trigger=True))
    return made


def _json_or_text(made: Statement, text: str) -> Statement:
    items = parse_json(text)
    return made._replace(words=(text,) * bool(text)) if items is None else made._replace(words=items, is_json=True)


def _words(text: str) -> tuple[str, ...]:
    return tuple(split_blank(text)) if text else ()


def _cut_word(text: str) -> tuple[str, str, str]:
    """Partition at the first run of spaces."""
    end = next((at for at, char in enumerate(text) if char in SPACE), len(text))
    rest = text[end:].lstrip(SPACE)
    return text[:end], text[end : len(text) - len(rest)], rest

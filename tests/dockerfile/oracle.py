"""Compare with the parser of BuildKit 0.12.5, as the package `dockerfile` has it.

It knows statements, not what they mean. `heredocs` of ONBUILD, and flags of its trigger, it does not tell.
"""

from __future__ import annotations

from typing import NamedTuple

import dockerfile  # type: ignore[import-not-found]

from envgit.dockerfile.errors import DockerfileError
from envgit.dockerfile.lines import LineReader
from envgit.dockerfile.parse import iter_statements
from envgit.dockerfile.statement import NAMES


class Told(NamedTuple):
    """What both parsers can tell of a statement."""

    name: str
    trigger: str
    is_json: bool
    line: str
    lines: tuple[int, int]
    flags: tuple[str, ...]
    values: tuple[str, ...]
    heredocs: tuple[tuple[str, int, str], ...]


def told_by_oracle(text: str) -> list[Told] | None:
    """Return the oracle's statements; None when it refuses the text."""
    try:
        commands = dockerfile.parse_string(text)
    except dockerfile.GoParseError:
        return None
    return [
        Told(
            _known(command.cmd),
            _known(command.sub_cmd),
            command.json,
            (command.original or "").split("\n")[0],
            (command.start_line, command.end_line),
            command.flags,
            command.value if _known(command.sub_cmd or command.cmd) else (),
            tuple((heredoc.name, heredoc.file_descriptor, heredoc.content) for heredoc in command.heredocs),
        )
        for command in commands
    ]


def told_by_envgit(text: str) -> list[Told] | None:
    """Return our statements; None when the text is refused or holds none."""
    try:
        found = list(iter_statements(LineReader(text.encode(), "Dockerfile")))
    except DockerfileError:
        return None
    told = []
    for line, statement, source, heredocs in found:
        acting = statement.trigger or statement
        pairs = tuple(text for pair in acting.pairs for text in (pair.name, pair.value))
        told.append(
            Told(
                _known(statement.name),
                _known(statement.trigger.name if statement.trigger else ""),
                acting.is_json,
                line.text,
                (source.first, source.last),
                statement.flags,
                pairs or acting.words,
                () if statement.trigger else tuple((item.name, item.descriptor, item.content) for item in heredocs),
            )
        )
    return told or None


def _known(name: str | None) -> str:
    """Return a name in upper case; one that no instruction has as ""."""
    upper = (name or "").upper()
    return upper if upper in NAMES else ""

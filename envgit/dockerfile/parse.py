"""Parse a Dockerfile, as BuildKit's parser does (docs/dockerfile.md)."""

from __future__ import annotations

from collections.abc import Iterator

from envgit.dockerfile.errors import DockerfileError, ExpansionError
from envgit.dockerfile.heredoc_words import find_heredocs
from envgit.dockerfile.instructions import (
    Arg,
    Dockerfile,
    From,
    Heredoc,
    Instruction,
    Maintainer,
    Source,
    StageText,
    Warned,
)
from envgit.dockerfile.interpretation import interpret
from envgit.dockerfile.lines import LineReader, LogicalLine
from envgit.dockerfile.statement import Statement, parse_statement


def parse_dockerfile(text: bytes, file: str) -> Dockerfile:
    """Parse the text of a Dockerfile; raises DockerfileError. `file`: its name in messages."""
    reader = LineReader(text, file)
    arguments: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    warnings: list[Warned] = []
    for line, statement, source, heredocs in iter_statements(reader):
        instruction = _interpret(statement, source, heredocs)
        warnings += _warn(line, statement, instruction)
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            arguments.append(instruction)
        else:
            raise source.error(f"{statement.name} before the first FROM", hint="begin with: FROM IMAGE")
    if not stages:
        raise DockerfileError(f"{file}: there is no FROM in it", hint="begin with: FROM IMAGE")
    return Dockerfile(
        file,
        tuple(arguments),
        tuple(StageText(start, tuple(instructions)) for start, instructions in stages),
        reader.escape,
        reader.directives.get("syntax", ""),
        reader.directives.get("check", ""),
        tuple(warnings),
    )


def parse_trigger(expression: str, file: str) -> Instruction:
    """Parse one instruction as an image keeps it for ONBUILD; raises DockerfileError. `file`: the image's name in messages."""
    reader = LineReader(expression.encode("utf-8", "surrogateescape"), file)
    found = list(iter_statements(reader))
    if len(found) != 1:
        raise DockerfileError(f"{file}: an ONBUILD of {len(found)} instructions, not one: {expression}")
    _, statement, source, heredocs = found[0]
    if statement.name in ("ONBUILD", "FROM", "MAINTAINER"):
        raise source.error(f"{statement.name} cannot be the instruction of ONBUILD")
    return _interpret(statement, source, heredocs)


def iter_statements(reader: LineReader) -> Iterator[tuple[LogicalLine, Statement, Source, tuple[Heredoc, ...]]]:
    """Split a Dockerfile into statements without asking what they mean; raises DockerfileError."""
    while line := reader.read_line():
        try:
            statement = parse_statement(line.text, reader.escape)
        except ExpansionError as error:
            raise reader.source(line).error(error.message, hint=error.hint) from None
        heredocs = _read_heredocs(reader, line) if statement.takes_heredocs else ()
        yield line, statement, reader.source(line), heredocs


def _read_heredocs(reader: LineReader, line: LogicalLine) -> tuple[Heredoc, ...]:
    heredocs = []
    for word in find_heredocs(line.text):
        content = reader.read_heredoc(word.name, word.strip_tabs)
        if content is not None:
            heredocs.append(Heredoc(word.name, content, word.expand, word.strip_tabs, word.descriptor))
        elif not word.is_spaced:
            raise reader.source(line).error(f"no line that is only {word.name} ends the heredoc")
    return tuple(heredocs)


def _interpret(statement: Statement, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    try:
        return interpret(statement, source, heredocs)
    except ExpansionError as error:
        raise source.error(error.message, hint=error.hint) from None


def _warn(line: LogicalLine, statement: Statement, instruction: Instruction) -> list[Warned]:
    """Name what is accepted for the sake of old files, or is probably not what was meant."""
    found = [
        Warned(number, "an empty line within an instruction; begin it with # or remove it") for number in line.empty
    ]
    acting = statement.trigger or statement
    if isinstance(instruction, Maintainer):
        found.append(Warned(line.first, "MAINTAINER is deprecated; write: LABEL org.opencontainers.image.authors=..."))
    if any(pair.is_legacy for pair in acting.pairs):
        found.append(Warned(line.first, f"{acting.name} without =; write: {acting.name} NAME=VALUE"))
    if acting.name in ("CMD", "ENTRYPOINT", "RUN") and not acting.is_json and acting.text.startswith("["):
        found.append(Warned(line.first, "this is no JSON array, so a shell runs it as it is; quote with double quotes"))
    return found

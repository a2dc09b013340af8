"""From the parts of an instruction to its value: which flags and arguments each one takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, cast

from envgit.dockerfile.durations import parse_duration
from envgit.dockerfile.errors import ExpansionError
from envgit.dockerfile.flags import Flags, Kind, parse_flags
from envgit.dockerfile.heredoc_words import parse_heredoc_word
from envgit.dockerfile.instructions import (
    Add,
    Arg,
    ArgItem,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Run,
    Shell,
    Source,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from envgit.dockerfile.mounts import check_mount
from envgit.dockerfile.statement import NAMES, Statement
from envgit.dockerfile.whitespace import SPACE
from envgit.suggestion import nearest, suggest

_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_ONBUILD = re.compile(rf"[{SPACE}]*ONBUILD[{SPACE}]*", re.IGNORECASE)
_COPY_FLAGS: Mapping[str, Kind] = {"chown": "text", "chmod": "text", "link": "bool", "exclude": "list"}
_FLAGS: Mapping[str, Mapping[str, Kind]] = {
    "FROM": {"platform": "text"},
    "RUN": {"mount": "list", "network": "text", "security": "text", "device": "list"},
    "COPY": {**_COPY_FLAGS, "from": "text", "parents": "bool"},
    "ADD": {**_COPY_FLAGS, "keep-git-dir": "bool", "checksum": "text", "unpack": "bool"},
    "HEALTHCHECK": dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), "text"),
}
_MAX_RETRIES = 2**31 - 1


def interpret(statement: Statement, source: Source, heredocs: Sequence[Heredoc]) -> Instruction:
    """Make the instruction's value; raises ExpansionError (which knows no line) for what it does not take."""
    make = _MAKERS.get(statement.name)
    if make is None:
        near = nearest(statement.name, NAMES)
        hint = f"did you mean {near}?" if near else "does the line before lack the \\ that continues it?"
        raise ExpansionError(f"unknown instruction {statement.name or repr('')}", hint=hint)
    flags = parse_flags(statement.flags, _FLAGS.get(statement.name, {}))
    return make(statement, flags, source, tuple(heredocs))


def _from(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    words = statement.words
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise ExpansionError(
                f"'{words[2]}' cannot be the name of a stage", hint="a letter, then letters, digits, - _ and ."
            )
    elif len(words) == 1:
        name = ""
    else:
        raise ExpansionError("FROM takes one argument, or three", hint="write: FROM IMAGE, or FROM IMAGE AS NAME")
    return From(source, words[0], name, flags.text("platform"))


def _run(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    if not statement.words:
        raise ExpansionError("RUN has no command")
    for text in flags.list("mount"):
        check_mount(text)
    network = _one_of(flags, "network", ("default", "none", "host"))
    security = _one_of(flags, "security", ("sandbox", "insecure"))
    return Run(
        source,
        Command(statement.words, statement.is_json),
        heredocs,
        mounts=flags.list("mount"),
        network=cast('Literal["default", "none", "host"]', network),
        security=cast('Literal["sandbox", "insecure"]', security),
        devices=flags.list("device"),
    )


def _cmd(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    return Cmd(source, Command(statement.words, statement.is_json))


def _entrypoint(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    return Entrypoint(source, Command(statement.words, statement.is_json))


def _shell(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    if not statement.is_json or not statement.words:
        raise ExpansionError("SHELL takes a JSON array of words", hint='write: SHELL ["/bin/bash", "-c"]')
    return Shell(source, statement.words)


def _label(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    return Label(source, _pairs(statement))


def _env(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    return Env(source, _pairs(statement))


def _arg(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    items = []
    for word in _at_least_one(statement):
        name, equals, default = word.partition("=")
        if not name:
            raise ExpansionError(f"'{word}' has no name before =")
        items.append(ArgItem(name, default if equals else None))
    return Arg(source, tuple(items))


def _maintainer(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    return Maintainer(source, _exactly_one(statement))


def _expose(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    return Expose(source, tuple(sorted(_at_least_one(statement))))


def _add(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    sources, target = _split_target(statement, heredocs)
    return Add(
        source,
        sources,
        target,
        heredocs,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        checksum=flags.text("checksum"),
        link=bool(flags.bool("link")),
        exclude=flags.list("exclude"),
        keep_git_dir=flags.bool("keep-git-dir"),
        unpack=flags.bool("unpack"),
    )


def _copy(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    sources, target = _split_target(statement, heredocs)
    return Copy(
        source,
        sources,
        target,
        heredocs,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        from_=flags.text("from"),
        link=bool(flags.bool("link")),
        exclude=flags.list("exclude"),
        parents=bool(flags.bool("parents")),
    )


def _volume(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    paths = tuple(path.strip(SPACE) for path in _at_least_one(statement))
    if not all(paths):
        raise ExpansionError("an empty path of a volume")
    return Volume(source, paths)


def _user(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    return User(source, _exactly_one(statement))


def _workdir(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    return Workdir(source, _exactly_one(statement))


def _stopsignal(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    return Stopsignal(source, _exactly_one(statement))


def _onbuild(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    trigger = statement.trigger
    if trigger is None:
        raise ExpansionError("ONBUILD has no instruction", hint="write: ONBUILD RUN COMMAND")
    if trigger.name in ("ONBUILD", "FROM", "MAINTAINER"):
        raise ExpansionError(f"{trigger.name} cannot be the instruction of ONBUILD")
    line = _ONBUILD.sub("", source.line, count=1)
    expression = "\n".join((line, *(f"{document.content}{document.name}" for document in heredocs)))
    inner = interpret(trigger, source._replace(line=line), heredocs)
    return Onbuild(source, expression, inner)


def _healthcheck(statement: Statement, flags: Flags, source: Source, heredocs: tuple[Heredoc, ...]) -> Instruction:
    kind, *words = _at_least_one(statement)
    if kind.upper() == "NONE":
        if words:
            raise ExpansionError("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(source, ("NONE",))
    if kind.upper() != "CMD":
        raise ExpansionError(f"HEALTHCHECK takes CMD or NONE, not {kind}", hint="write: HEALTHCHECK CMD COMMAND")
    if not words:
        raise ExpansionError("HEALTHCHECK CMD has no command")
    retries = flags.text("retries") or "0"
    if not retries.isascii() or not retries.isdecimal() or len(retries) > 10 or int(retries) > _MAX_RETRIES:
        raise ExpansionError(f"--retries={retries} is no count")
    return Healthcheck(
        source,
        ("CMD" if statement.is_json else "CMD-SHELL", *words),
        interval_ns=_interval(flags, "interval"),
        timeout_ns=_interval(flags, "timeout"),
        start_period_ns=_interval(flags, "start-period"),
        start_interval_ns=_interval(flags, "start-interval"),
        retries=int(retries),
    )


def _interval(flags: Flags, name: str) -> int:
    text = flags.text(name)
    duration_ns = parse_duration(text) if text else 0
    if 0 < duration_ns < 1_000_000:
        raise ExpansionError(f"--{name}={text} is less than 1ms")
    return duration_ns


def _one_of(flags: Flags, name: str, known: tuple[str, ...]) -> str:
    """Return a flag's value; the first of those known is the default."""
    value = flags.text(name, known[0])
    if value not in known:
        raise ExpansionError(f"unknown --{name}={value}", hint=suggest(value, known))
    return value


def _at_least_one(statement: Statement) -> tuple[str, ...]:
    if not statement.words:
        raise ExpansionError(f"{statement.name} has no argument")
    return statement.words


def _exactly_one(statement: Statement) -> str:
    return _at_least_one(statement)[0]


def _pairs(statement: Statement) -> tuple[Pair, ...]:
    if not statement.pairs:
        raise ExpansionError(f"{statement.name} has no argument", hint=f"write: {statement.name} NAME=VALUE")
    for pair in statement.pairs:
        if not pair.name:
            raise ExpansionError(f"'={pair.value}' has no name before =")
    return statement.pairs


def _split_target(statement: Statement, heredocs: tuple[Heredoc, ...]) -> tuple[tuple[str, ...], str]:
    """Return the sources that are no heredocs, and the target."""
    if len(statement.words) < 2:
        raise ExpansionError(
            f"{statement.name} needs a source and a target", hint=f"write: {statement.name} SOURCE TARGET"
        )
    *words, target = statement.words
    if statement.is_json:
        return tuple(words), target
    if parse_heredoc_word(target):
        raise ExpansionError(
            f"{statement.name} cannot have a heredoc as its target", hint="write the target after <<NAME"
        )
    sources = tuple(word for word in words if not parse_heredoc_word(word))
    if len(words) - len(sources) != len(heredocs):
        raise ExpansionError(f"the name of a heredoc of {statement.name} may have no space in it or before it")
    return sources, target


_MAKERS: Mapping[str, Callable[[Statement, Flags, Source, tuple[Heredoc, ...]], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}

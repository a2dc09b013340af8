"""The difference of two configurations as instructions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from envgit.building.exporting.dockerfile_words import is_quotable, json_words, quote_word
from envgit.building.exporting.recorded_step import difference
from envgit.dockerfile.durations import format_duration
from envgit.model import EnvironmentConfig

Line: TypeAlias = tuple[str, bool]
"""(text, is_loss): an instruction, or what no instruction can say."""
_KNOWN: Final = frozenset(("Labels", "ExposedPorts", "Volumes", "StopSignal", "Shell", "Healthcheck", "OnBuild"))


def config_lines(before: EnvironmentConfig, after: EnvironmentConfig, keeps_cmd: bool = False) -> Iterator[Line]:
    """Yield the instructions that make `after` of `before`. `keeps_cmd`: an earlier CMD of the stage is there, so ENTRYPOINT
    does not take it away."""
    if before == after:
        return
    old, new = before.extra, after.extra
    if new.get("Shell") != old.get("Shell"):
        yield _list("SHELL", new.get("Shell") or ["/bin/sh", "-c"])
    changed, gone = difference(before, after)
    yield from (_pair("ENV", name, value) for name, value in changed.items())
    yield from ((f"no instruction takes the variable {name} away", True) for name in gone)
    yield from _mapping("LABEL", old.get("Labels"), new.get("Labels"))
    yield from _keys("EXPOSE", old.get("ExposedPorts"), new.get("ExposedPorts"))
    yield from _keys("VOLUME", old.get("Volumes"), new.get("Volumes"))
    if before.user != after.user:
        yield _word("USER", after.user or "root")
    if before.working_dir != after.working_dir:
        yield _word("WORKDIR", after.working_dir or "/")
    yield from _commands(before, after, keeps_cmd)
    if new.get("StopSignal") != old.get("StopSignal"):
        yield _word("STOPSIGNAL", str(new.get("StopSignal") or "SIGTERM"))
    if new.get("Healthcheck") != old.get("Healthcheck"):
        yield _healthcheck(new.get("Healthcheck"))
    yield from _triggers(old.get("OnBuild"), new.get("OnBuild"))
    names = sorted((set(old) | set(new)) - _KNOWN)
    yield from (
        (f"no instruction sets {name} of the configuration", True) for name in names if old.get(name) != new.get(name)
    )


def _commands(before: EnvironmentConfig, after: EnvironmentConfig, keeps_cmd: bool) -> Iterator[Line]:
    cmd = before.cmd
    if before.entrypoint != after.entrypoint:
        yield _list("ENTRYPOINT", list(after.entrypoint))
        cmd = cmd if keeps_cmd else ()
    if cmd != after.cmd:
        yield _list("CMD", list(after.cmd))


def _word(instruction: str, text: str) -> Line:
    if not is_quotable(text):
        return f"{instruction} cannot hold a value of several lines", True
    return f"{instruction} {quote_word(text)}", False


def _pair(instruction: str, name: str, value: str) -> Line:
    if not name or not is_quotable(name + value) or not (instruction == "LABEL" or quote_word(name) == name):
        return f"{instruction} cannot hold {name!r}: it has several lines or an odd name", True
    return f"{instruction} {quote_word(name)}={quote_word(value)}", False


def _list(instruction: str, value: object) -> Line:
    words = [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
    return f"{instruction} {json_words(words)}", False


def _mapping(instruction: str, old: object, new: object) -> Iterator[Line]:
    before, after = _as_mapping(old), _as_mapping(new)
    for name, value in after.items():
        if before.get(name) != value:
            yield _pair(instruction, name, str(value))
    yield from ((f"no instruction takes {instruction} {name!r} away", True) for name in before if name not in after)


def _keys(instruction: str, old: object, new: object) -> Iterator[Line]:
    before, after = _as_mapping(old), _as_mapping(new)
    added = [name for name in after if name not in before]
    if added and instruction == "VOLUME":
        yield _list(instruction, [name.replace("\\", "\\\\").replace("$", "\\$") for name in added])
    elif added:
        yield from (_word(instruction, name) for name in added)
    yield from ((f"no instruction takes {instruction} {name!r} away", True) for name in before if name not in after)


def _as_mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _healthcheck(value: object) -> Line:
    check = _as_mapping(value)
    test = check.get("Test")
    words = [word for word in test if isinstance(word, str)] if isinstance(test, list) else []
    if not words or words[0] == "NONE":
        return "HEALTHCHECK NONE", False
    options = [
        f"--{flag}={write(amount)}"
        for flag, name, write in (
            ("interval", "Interval", format_duration),
            ("timeout", "Timeout", format_duration),
            ("start-period", "StartPeriod", format_duration),
            ("start-interval", "StartInterval", format_duration),
            ("retries", "Retries", str),
        )
        if isinstance(amount := check.get(name), int) and amount > 0
    ]
    command = words[1] if words[0] == "CMD-SHELL" and len(words) == 2 and is_quotable(words[1]) else None
    return " ".join(["HEALTHCHECK", *options, "CMD", command if command else json_words(words[1:])]), False


def _triggers(old: object, new: object) -> Iterator[Line]:
    before = old if isinstance(old, list) else []
    after = new if isinstance(new, list) else []
    if after[: len(before)] == before:
        before, after = [], after[len(before) :]
    if before:
        yield "no instruction takes ONBUILD away", True
    for text in after:
        yield (
            (f"ONBUILD {text}", False)
            if isinstance(text, str) and is_quotable(text)
            else ("ONBUILD holds no text", True)
        )

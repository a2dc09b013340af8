"""docker's and podman's options of a run, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from envgit.errors import UsageError


def parse_environment(
    items: Iterable[str], files: Iterable[str], caller: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Return variables as (name, value): of the files first, then of -e; a later one wins.

    `NAME=VALUE` sets; `NAME` alone takes the caller's value and is left out when the caller has none, as docker does.
    """
    found: dict[str, str] = {}
    for path in files:
        for number, line in enumerate(_read_lines(path), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                _add(found, line.lstrip(), caller, f"{path}:{number}")
    for item in items:
        _add(found, item, caller, "-e")
    return tuple(found.items())


def _read_lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            return [line.rstrip("\n").removesuffix("\r") for line in file]
    except OSError as error:
        raise UsageError(f"cannot read the file of variables {path}: {error.strerror}") from error


def _add(found: dict[str, str], item: str, caller: Mapping[str, str], place: str) -> None:
    name, equals, value = item.partition("=")
    if not name or "\0" in item or (not equals and " " in name):
        raise UsageError(f"{place}: {item!r} is not NAME=VALUE", hint="use -e NAME=VALUE, or -e NAME to pass yours on")
    if equals:
        found[name] = value
    elif name in caller:
        found[name] = caller[name]


def split_command(
    words: tuple[str, ...], tail: tuple[str, ...] | None, verb: str
) -> tuple[str | None, tuple[str, ...]]:
    """Return (revision, command).

    The rule: what follows `--` is the command; a single word before `--` is the revision. Without `--` there is no
    command, and a word could mean either, so it is refused with what to type.
    """
    if tail is None and words:
        command = " ".join(words)
        rest = " ".join(words[1:])
        raise UsageError(
            f"is '{words[0]}' a revision or a program? Put -- before the command",
            hint=f"in the current environment: envgit {verb} -- {command}\n"
            f"hint: in revision {words[0]}: envgit {verb} {words[0]} -- {rest}".rstrip(),
        )
    if len(words) > 1:
        raise UsageError(
            f"one revision may come before --, not {len(words)} words: {' '.join(words)}",
            hint=f"use: envgit {verb} [OPTIONS] [REV] -- COMMAND...",
        )
    return (words[0] if words else None), tail or ()

"""An OCI `linux.seccomp` structure, checked and read for one architecture: what happens to each number.

Meaning, where the specification is silent: as libseccomp and runc have it. A masked comparison masks both sides. Conditions of one
entry must all hold, unless two of them look at the same argument: then each stands alone. An entry that
repeats the default says nothing. Of several entries that hold, the strictest action wins, which is also how the kernel
chooses among several filters; libseccomp, where an entry without conditions stands beside others, drops the others.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any, NamedTuple

from envgit.errors import UsageError
from envgit.exec.seccomp.numbers import Architecture

ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": _ERRNO,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": ALLOW,
}
_NEED_A_LISTENER = {
    "SCMP_ACT_NOTIFY": "needs a program that answers for the kernel, which envgit does not start",
    "SCMP_ACT_TRACE": "needs a debugger that is attached from the start",
}
_STRICTEST_FIRST = (0x80000000, 0x00000000, 0x00030000, _ERRNO, 0x7FFC0000, ALLOW)
_OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
_HIGHEST_ERRNO = 4095
_LONG = (1 << 64) - 1


class Condition(NamedTuple):
    """A comparison of one 64-bit argument; for MASKED_EQ `value` is the mask and `value_two` lies within it."""

    argument: int
    op: str
    value: int
    value_two: int


class Rule(NamedTuple):
    """What the filter answers when every condition holds."""

    answer: int
    conditions: tuple[Condition, ...]


class Rules(NamedTuple):
    """A whole filter. Rules of a number come strictest first; if none holds, `default` is the answer."""

    default: int
    foreign: int
    """The answer to calls of other architectures and ABIs: never more than a refusal."""
    newest: int
    """Numbers above it are newer than the profile, which has not judged them."""
    newer: int
    calls: dict[int, tuple[Rule, ...]]
    unknown_names: tuple[str, ...]


def read_rules(profile: Mapping[str, Any], architecture: Architecture) -> Rules:
    """Check an OCI structure; UsageError says what is wrong and where."""
    if not isinstance(profile, Mapping):
        raise _bad("a seccomp profile is a JSON object")
    default = _answer(profile.get("defaultAction"), profile.get("defaultErrnoRet"), "defaultAction")
    entries = profile.get("syscalls") or []
    if not isinstance(entries, list):
        raise _bad("`syscalls` is not a list")
    found: dict[int, list[Rule]] = {}
    unknown: list[str] = []
    for place, entry in enumerate(entries):
        where = f"syscalls[{place}]"
        if not isinstance(entry, Mapping):
            raise _bad(f"{where} is not an object")
        answer = _answer(entry.get("action"), entry.get("errnoRet"), f"{where}.action")
        alternatives = _alternatives(entry.get("args") or [], where)
        names = entry.get("names")
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise _bad(f"{where}.names is not a list of names")
        for name in names:
            if name not in architecture.numbers:
                unknown.append(name)
            elif answer != default:
                found.setdefault(architecture.numbers[name], []).extend(
                    Rule(answer, conditions) for conditions in alternatives
                )
    judged = _numbers_named(entries, architecture)
    refusing = default & 0xFFFF0000 == _ERRNO
    return Rules(
        default=default,
        foreign=default if default in (0x80000000, 0x00000000) else _ERRNO | errno.ENOSYS,
        newest=max(judged, default=-1) if refusing else (1 << 32) - 1,
        newer=_ERRNO | errno.ENOSYS if judged and refusing else default,
        calls={number: _ordered(rules) for number, rules in found.items()},
        unknown_names=tuple(dict.fromkeys(unknown)),
    )


def _numbers_named(entries: list[Mapping[str, Any]], architecture: Architecture) -> set[int]:
    return {architecture.numbers[name] for entry in entries for name in entry["names"] if name in architecture.numbers}


def _ordered(rules: list[Rule]) -> tuple[Rule, ...]:
    """Sort by strictness, keep the profile's order among equals, leave out what can no longer be reached."""
    kept: list[Rule] = []
    for rule in sorted(rules, key=lambda rule: _STRICTEST_FIRST.index(rule.answer & 0xFFFF0000)):
        if rule not in kept:
            kept.append(rule)
        if not rule.conditions:
            break
    return tuple(kept)


def _answer(action: object, number: object, where: str) -> int:
    if isinstance(action, str) and action in _NEED_A_LISTENER:
        raise UsageError(
            f"seccomp profile: {where}: {action} {_NEED_A_LISTENER[action]}",
            hint="use SCMP_ACT_ERRNO, or SCMP_ACT_LOG to learn what is called",
        )
    if not isinstance(action, str) or action not in _ACTIONS:
        raise _bad(f"{where}: {action!r} is no action", hint="one of " + ", ".join(_ACTIONS))
    if action != "SCMP_ACT_ERRNO":
        return _ACTIONS[action]
    if number is None:
        number = errno.EPERM
    if not _whole(number, _HIGHEST_ERRNO):
        raise _bad(f"{where}: {number!r} is no error number", hint=f"a number from 0 to {_HIGHEST_ERRNO}")
    return _ERRNO | int(str(number))


def _alternatives(args: object, where: str) -> list[tuple[Condition, ...]]:
    if not isinstance(args, list):
        raise _bad(f"{where}.args is not a list")
    conditions = [_condition(each, f"{where}.args[{place}]") for place, each in enumerate(args)]
    if len({condition.argument for condition in conditions}) < len(conditions):
        return [(condition,) for condition in conditions]
    return [tuple(conditions)]


def _condition(fields: object, where: str) -> Condition:
    if not isinstance(fields, Mapping):
        raise _bad(f"{where} is not an object")
    index, value, two = fields.get("index"), fields.get("value"), fields.get("valueTwo") or 0
    op = str(fields.get("op")).removeprefix("SCMP_CMP_")
    if not _whole(index, 5):
        raise _bad(f"{where}: {index!r} is no argument", hint="`index` is a number from 0 to 5")
    if op not in _OPERATORS or fields.get("op") == op:
        raise _bad(f"{where}: {fields.get('op')!r} is no comparison", hint="SCMP_CMP_ + " + "|".join(_OPERATORS))
    if not _whole(value, _LONG) or not _whole(two, _LONG):
        raise _bad(f"{where}: a value is not a number of 64 bits")
    first, second = int(str(value)), int(str(two))
    return Condition(int(str(index)), op, first, second & first if op == "MASKED_EQ" else 0)


def _whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _bad(message: str, hint: str | None = None) -> UsageError:
    return UsageError(f"seccomp profile: {message}", hint=hint or "see docs/seccomp.md for the format")

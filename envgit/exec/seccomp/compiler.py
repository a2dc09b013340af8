"""Rules to a BPF program: the architecture, then a balanced search over ranges of numbers, then conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from envgit.errors import UsageError
from envgit.exec.seccomp.bpf import AT_LEAST, EQUAL, GREATER, MAXIMUM, Assembler, Label
from envgit.exec.seccomp.numbers import Architecture
from envgit.exec.seccomp.rules import Condition, Rule, Rules, read_rules

_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_WORD = 0xFFFFFFFF

_Fate: TypeAlias = tuple[Rule, ...] | int
"""What happens to a number: rules to try, or an answer."""


def compile_profile(profile: Mapping[str, Any], architecture: Architecture) -> bytes:
    """Return the program of an OCI structure; UsageError if it is wrong or would be longer than the kernel takes."""
    return compile_rules(read_rules(profile, architecture), architecture)


def compile_rules(rules: Rules, architecture: Architecture) -> bytes:
    """Return the program that carries `rules` out."""
    assembler = Assembler()
    ranges = _ranges(rules, architecture)
    blocks: dict[_Fate, Label] = {}
    for _, fate in ranges:
        if fate not in blocks:
            blocks[fate] = assembler.end(fate) if isinstance(fate, int) else _block(assembler, fate, rules.default)
    foreign = assembler.end(rules.foreign)
    search = _search(assembler, [(start, blocks[fate]) for start, fate in ranges])
    native = assembler.load(_NUMBER, search)
    check = assembler.branch(EQUAL, architecture.audit, native, foreign)
    program = assembler.program(assembler.load(_ARCHITECTURE, check))
    if len(program) // 8 > MAXIMUM:
        raise UsageError(
            f"the seccomp profile needs {len(program) // 8} instructions, the kernel takes {MAXIMUM}",
            hint="use fewer comparisons of arguments",
        )
    return program


def _ranges(rules: Rules, architecture: Architecture) -> list[tuple[int, _Fate]]:
    """Return where each run of numbers with one fate starts, from 0 on; the last run has no end."""
    ranges: list[tuple[int, _Fate]] = []

    def add(start: int, fate: _Fate) -> None:
        if not ranges or ranges[-1][1] != fate:
            ranges.append((start, fate))

    following = 0
    for number, found in sorted(rules.calls.items()):
        if number > following:
            add(following, rules.default)
        add(number, found[0].answer if not found[0].conditions else found)
        following = number + 1
    if following <= rules.newest:
        add(following, rules.default)
        following = rules.newest + 1
    if following < architecture.foreign:
        add(following, rules.newer)
    if architecture.foreign <= _WORD:
        # a default for everything reaches up to here as well
        add(architecture.foreign, rules.foreign)
    return [(start, fate) for start, fate in ranges if start <= _WORD]


def _search(assembler: Assembler, ranges: list[tuple[int, Label]]) -> Label:
    """Write a search of the loaded number; the comparisons to any range differ by one at most."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    upper = _search(assembler, ranges[middle:])
    lower = _search(assembler, ranges[:middle])
    return assembler.branch(AT_LEAST, ranges[middle][0], upper, lower)


def _block(assembler: Assembler, rules: tuple[Rule, ...], default: int) -> Label:
    """Write rules that are tried in order; where none holds the default is the answer."""
    start = assembler.end(default)
    for rule in reversed(rules):
        hold = assembler.end(rule.answer)
        if rule.conditions:
            for condition in reversed(rule.conditions):
                hold = _compare(assembler, condition, hold, start)
        start = hold
    return start


def _compare(assembler: Assembler, condition: Condition, yes: Label, no: Label) -> Label:
    """Write a comparison of 64 bits out of comparisons of 32: registers have no more."""
    op, value = condition.op, condition.value
    if op in ("NE", "LT", "LE"):
        opposite = {"NE": "EQ", "LT": "GE", "LE": "GT"}[op]
        return _compare(assembler, condition._replace(op=opposite), no, yes)
    low = _ARGUMENTS + 8 * condition.argument
    high = low + 4
    if op == "MASKED_EQ":
        after = _masked(assembler, low, value & _WORD, condition.value_two & _WORD, yes, no)
        return _masked(assembler, high, value >> 32, condition.value_two >> 32, after, no)
    test = {"EQ": EQUAL, "GT": GREATER, "GE": AT_LEAST}[op]
    after = assembler.load(low, assembler.branch(test, value & _WORD, yes, no))
    equal = assembler.branch(EQUAL, value >> 32, after, no)
    if op != "EQ":
        equal = assembler.branch(GREATER, value >> 32, yes, equal)
    return assembler.load(high, equal)


def _masked(assembler: Assembler, offset: int, mask: int, value: int, yes: Label, no: Label) -> Label:
    if not mask:  # nothing is asked of this half
        return yes
    return assembler.load_and(offset, mask, assembler.branch(EQUAL, value, yes, no))

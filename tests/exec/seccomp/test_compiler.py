"""Compiled programs answer what the profile says: random profiles, random calls; the limits of the machine."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envgit.errors import UsageError
from envgit.exec.seccomp.bpf import ALWAYS, EQUAL, Assembler
from envgit.exec.seccomp.compiler import compile_profile
from envgit.exec.seccomp.numbers import ARCHITECTURES, load_architecture
from tests.exec.seccomp.interpreter import I386, Call, check, run, run_counted
from tests.exec.seccomp.naive import AUDIT, evaluate, numbers

MACHINES = {name: load_architecture(name) for name in ARCHITECTURES}
TABLES = {name: numbers(name) for name in ARCHITECTURES}
NAMES = ["read", "write", "openat", "clone", "ioctl", "socket", "io_uring_setup", "file_setattr", "fork", "dup3"]
OPERATORS = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
WORDS = [0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
EDGES = sorted({high << 32 | low for high in WORDS for low in WORDS})

values = st.sampled_from(EDGES) | st.integers(0, (1 << 64) - 1)
actions = st.sampled_from(["ALLOW", "ERRNO", "ERRNO", "KILL_PROCESS", "KILL_THREAD", "TRAP", "LOG"]).map(
    "SCMP_ACT_".__add__
)
conditions = st.fixed_dictionaries(
    {
        "index": st.integers(0, 5),
        "value": values,
        "valueTwo": values,
        "op": st.sampled_from(OPERATORS).map("SCMP_CMP_".__add__),
    }
)
entries = st.fixed_dictionaries(
    {"names": st.lists(st.sampled_from([*NAMES, "chown32"]), min_size=1, max_size=4), "action": actions},
    optional={"errnoRet": st.integers(0, 4095), "args": st.lists(conditions, max_size=4)},
)
profiles = st.fixed_dictionaries(
    {"defaultAction": actions, "syscalls": st.lists(entries, max_size=8)},
    optional={"defaultErrnoRet": st.integers(0, 4095)},
)


@settings(max_examples=400, deadline=None)
@given(profile=profiles, architecture=st.sampled_from(ARCHITECTURES), data=st.data())
def test_compiled_and_naive_answers_agree(profile: dict[str, Any], architecture: str, data: st.DataObject) -> None:
    program = compile_profile(profile, MACHINES[architecture])
    check(program)
    table = TABLES[architecture]
    named = {table[name] for name in NAMES if name in table}
    near = sorted(
        {number + step for number in named for step in (-1, 0, 1)} | {1023, 0x40000000, 0x40000001, 0xFFFFFFFF}
    )
    used = [arg[key] for entry in profile["syscalls"] for arg in entry.get("args", []) for key in ("value", "valueTwo")]
    argument = st.sampled_from([*used, *(each ^ 1 << 40 for each in used), *EDGES])
    for number in near:
        call = Call(max(number, 0), tuple(data.draw(argument) for _ in range(6)), AUDIT[architecture])
        assert run(program, call) == evaluate(profile, architecture, call, table), call
    foreign = Call(0, (), I386)
    assert run(program, foreign) == evaluate(profile, architecture, foreign, table)


@pytest.mark.parametrize("op", OPERATORS)
def test_each_comparison_of_64_bits(op: str) -> None:
    table = TABLES["x86_64"]
    for value in EDGES:
        for two in (0, value, EDGES[-1]) if op == "MASKED_EQ" else (0,):
            entry = {"names": ["read"], "action": "SCMP_ACT_ALLOW",
                     "args": [{"index": 3, "value": value, "valueTwo": two, "op": f"SCMP_CMP_{op}"}]}  # fmt: skip
            profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [entry]}
            program = compile_profile(profile, MACHINES["x86_64"])
            for given_ in EDGES:
                call = Call(0, (9, 9, 9, given_))
                assert run(program, call) == evaluate(profile, "x86_64", call, table), (value, two, given_)


def test_long_jumps_and_the_longest_program() -> None:
    def profile(count: int) -> dict[str, Any]:
        entries = [
            {
                "names": [NAMES[n % 4]],
                "action": "SCMP_ACT_ALLOW" if n % 3 else "SCMP_ACT_LOG",
                "args": [{"index": n % 6, "value": n << 20, "op": "SCMP_CMP_EQ"}],
            }
            for n in range(count)
        ]
        return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": entries}

    long = profile(600)
    program = compile_profile(long, MACHINES["x86_64"])
    check(program)
    assert len(program) // 8 > 2000
    assert any(program[place] == ALWAYS for place in range(0, len(program), 8))
    chance = random.Random(1)
    for _ in range(3000):
        number = TABLES["x86_64"][chance.choice(NAMES)]
        call = Call(number, tuple(chance.randrange(602) << 20 for _ in range(6)))
        assert run(program, call) == evaluate(long, "x86_64", call, TABLES["x86_64"])
    with pytest.raises(UsageError, match=r"needs \d+ instructions, the kernel takes 4096"):
        compile_profile(profile(1200), MACHINES["x86_64"])


@pytest.mark.parametrize("apart", [0, 1, 252, 253, 254, 255, 256, 257, 300])
@pytest.mark.parametrize("between", [0, 1, 253, 254, 255, 256])
def test_a_branch_reaches_both_sides_however_far(apart: int, between: int) -> None:
    assembler = Assembler()
    first = assembler.end(1)
    for n in range(between):
        assembler.load(0, assembler.end(1000 + n)) if n % 2 else assembler.end(1000 + n)
    second = assembler.end(2)
    for n in range(apart):
        assembler.end(5000 + n)
    for yes, no in ((first, second), (second, first)):
        start = assembler.load(0, assembler.branch(EQUAL, 7, yes, no))
        program = assembler.program(start)
        check(program)
        answers = {first: 1, second: 2}
        assert run(program, Call(7)) == answers[yes] and run(program, Call(8)) == answers[no]


def test_the_search_is_balanced() -> None:
    """Every other call allowed is the worst case: ten comparisons for a thousand ranges, plus the architecture."""
    table = dict(sorted(TABLES["x86_64"].items(), key=lambda pair: pair[1])[::2])
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": list(table), "action": "SCMP_ACT_ALLOW"}]}
    program = compile_profile(profile, MACHINES["x86_64"])
    assert max(run_counted(program, Call(number))[1] for number in range(512)) <= 18


KEYS = ["defaultAction", "syscalls", "names", "action", "args", "index", "value", "op", "errnoRet"]
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["SCMP_ACT_ALLOW", "read"])
)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
        max_leaves=12,
    )
)
@example({"defaultAction": [], "syscalls": 1})
@example({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": {}}]})
def test_nonsense_is_refused_politely(profile: Any) -> None:
    try:
        check(compile_profile(profile, MACHINES["x86_64"]))
    except UsageError as error:
        assert error.hint

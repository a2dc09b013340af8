"""The policy: complete, compiled as written for every number, checked in as generated, portable to libseccomp."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from envgit.errors import HostUnsupported
from envgit.exec.seccomp import filter as seccomp
from envgit.exec.seccomp import headers, policy
from envgit.exec.seccomp.generate import compile_default, format_table, merge_numbers
from envgit.exec.seccomp.numbers import ARCHITECTURES, TABLE, host_architecture, load_architecture, read_table
from envgit.exec.seccomp.profile import words_without
from envgit.exec.spec import CAPABILITY_NUMBERS, DEFAULT_CAPABILITIES
from tests.exec.seccomp import matrix
from tests.exec.seccomp.interpreter import AARCH64, ARM, I386, X86_64, Call, check, run
from tests.exec.seccomp.naive import AUDIT, evaluate, numbers

ROOT = Path(__file__).resolve().parents[3]
INSTALLED = headers.read_headers(Path("/usr/include"))
SETTINGS = [
    (DEFAULT_CAPABILITIES, False),
    (DEFAULT_CAPABILITIES, True),
    ((), False),
    (("CAP_SYS_ADMIN", "CAP_NET_RAW"), False),
    (tuple(CAPABILITY_NUMBERS), True),
]


def test_every_known_call_is_judged_once() -> None:
    judged = [name for group in policy.GROUPS for name in group.calls] + list(policy.BY_ARGUMENT)
    assert sorted(judged) == sorted(name for name, row in read_table().items() if any(row))


def test_the_table_agrees_with_the_installed_headers() -> None:
    """The headers come with a C library for development; without them the second assertion has nothing to compare."""
    table = read_table()
    assert Path(TABLE).read_text() == format_table(table)
    for architecture in ARCHITECTURES:
        known = load_architecture(architecture).numbers
        assert len(set(known.values())) == len(known)
        installed = INSTALLED.get(architecture, {})
        assert {name: known.get(name) for name in installed} == installed, f"{len(installed)} calls in the headers"
    assert merge_numbers(table, INSTALLED) == table


def test_control_a_wrong_number_is_seen() -> None:
    with pytest.raises(ValueError, match="read on x86_64 is 0 in the table, 7 in the headers"):
        merge_numbers(read_table(), {"x86_64": {"read": 7}})
    assert merge_numbers({"read": (0, None)}, {"aarch64": {"read": 63}}) == {"read": (0, 63)}


def test_generic_headers_are_read_as_aarch64_does() -> None:
    text = """#define __NR_io_setup 0
#if defined(__ARCH_WANT_TIME32_SYSCALLS) || __BITS_PER_LONG != 32
#define __NR_nanosleep 101
#endif
#if defined(__SYSCALL_COMPAT) || __BITS_PER_LONG == 32
#define __NR_clock_gettime64 403
#endif
#define __NR3264_fcntl 25
#if __BITS_PER_LONG == 64 && !defined(__SYSCALL_COMPAT)
#define __NR_fcntl __NR3264_fcntl
#else
#define __NR_fcntl64 __NR3264_fcntl
#endif
"""
    assert headers.parse_generic(text) == {"io_setup": 0, "nanosleep": 101, "fcntl": 25}
    with pytest.raises(ValueError, match="SOMETHING_NEW"):
        headers.parse_generic("#ifdef SOMETHING_NEW\n#endif\n")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_checked_in_program_is_the_generated_one(architecture: str) -> None:
    program = seccomp.default_program(DEFAULT_CAPABILITIES, False, architecture)
    check(program)
    assert program == compile_default(architecture), "run: python -m envgit.exec.seccomp.generate"
    assert program == Path(TABLE).with_name(f"default-{architecture}.bpf").read_bytes()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_matrix_is_as_checked_in(architecture: str) -> None:
    written = (matrix.FOLDER / f"matrix-{architecture}.txt").read_text()
    assert matrix.render(architecture) == written, "read the difference of: python -m tests.exec.seccomp.matrix"


@pytest.mark.parametrize(("capabilities", "nested"), SETTINGS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_program_is_the_profile_for_every_number(
    architecture: str, capabilities: tuple[str, ...], nested: bool
) -> None:
    program = seccomp.default_program(capabilities, nested, architecture)
    check(program)
    profile, table = seccomp.default_profile(capabilities, nested, architecture), numbers(architecture)
    edges = (0x3FFFFFFF, 0x40000000, 0x40000001, 0x40000208, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
    calls = [Call(number, (), audit) for number in (*range(1024), *edges) for audit in (X86_64, AARCH64, I386, ARM)]
    calls += [
        Call(table[name], args, AUDIT[architecture]) for name, samples in matrix.SAMPLES.items() for args in samples
    ]
    different = [call for call in calls if run(program, call) != evaluate(profile, architecture, call, table)]
    assert different == []


@pytest.mark.parametrize(("capabilities", "nested"), SETTINGS)
def test_entries_of_one_call_never_overlap(capabilities: tuple[str, ...], nested: bool) -> None:
    """libseccomp drops conditions beside an entry without any, and chooses as it likes where two hold."""
    entries = seccomp.default_profile(capabilities, nested, "x86_64")["syscalls"]
    table = numbers("x86_64")
    plain = [name for entry in entries if not entry.get("args") for name in entry["names"]]
    assert len(plain) == len(set(plain))
    assert not set(plain) & {name for entry in entries if entry.get("args") for name in entry["names"]}
    for name, samples in matrix.SAMPLES.items():
        ours = [{"defaultAction": "SCMP_ACT_LOG", "syscalls": [entry]} for entry in entries if name in entry["names"]]
        for args in samples:
            call = Call(table[name], args)
            assert sum(evaluate(each, "x86_64", call, table) != 0x7FFC0000 for each in ours) <= 1, (name, args)


def test_words_without_is_the_complement() -> None:
    for values in ((0x5412, 0x541C), (0,), (0xFFFFFFFF, 0), tuple(range(0, 64, 3))):
        patterns = words_without(values)
        near = {value ^ bit for value in values for bit in (0, *(1 << n for n in range(32)))} | set(range(256))
        for word in near:
            assert sum(word & mask == value for mask, value in patterns) == (word not in values)


def test_capabilities_that_decide_are_those_of_the_policy() -> None:
    asked = set(itertools.chain.from_iterable(group.granted_by or () for group in policy.GROUPS)) - {policy.NESTED}
    assert seccomp.DECIDING_CAPABILITIES == asked | {"CAP_NET_RAW"} <= set(CAPABILITY_NUMBERS)
    assert seccomp.DECIDING_CAPABILITIES & set(DEFAULT_CAPABILITIES) == seccomp.COMPILED_CAPABILITIES


def test_capabilities_that_do_not_decide_need_no_compiler() -> None:
    program = """
import sys
from envgit.exec.seccomp.filter import default_program
from envgit.exec.spec import DEFAULT_CAPABILITIES
before = set(sys.modules)
assert default_program(("CAP_SYS_CHROOT", "CAP_KILL", "CAP_IPC_LOCK")) == default_program(DEFAULT_CAPABILITIES)
assert set(sys.modules) == before
assert default_program(()) != default_program(DEFAULT_CAPABILITIES)
assert set(sys.modules) > before
assert not {"json", "subprocess", "dataclasses", "pathlib", "ctypes"} & (set(sys.modules) - before)
"""
    subprocess.run([sys.executable, "-S", "-c", program], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_grants_only_grant(architecture: str) -> None:
    """Whatever is added, nothing that was allowed is refused, and what is never allowed stays refused."""
    table = numbers(architecture)
    usual = seccomp.default_program(DEFAULT_CAPABILITIES, False, architecture)
    most = seccomp.default_program(tuple(CAPABILITY_NUMBERS), True, architecture)
    for name, number in table.items():
        for args in matrix.SAMPLES.get(name, ((),)):
            call = Call(number, args, AUDIT[architecture])
            before, after = run(usual, call), run(most, call)
            assert before == after or after == 0x7FFF0000, call
    for group in policy.NEVER:
        for name in set(group.calls) & set(table):
            answer = run(most, Call(table[name], (), AUDIT[architecture]))
            assert answer == 0x50000 | group.refused_with, name


def test_a_machine_without_a_table_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "uname", lambda: os.uname_result(("Linux", "h", "6.1", "v", "riscv64")))
        with pytest.raises(HostUnsupported, match="riscv64") as caught:
            seccomp.default_program(DEFAULT_CAPABILITIES)
    assert caught.value.hint and "seccomp=unconfined" in caught.value.hint
    assert host_architecture() in ARCHITECTURES


def test_refusals_say_what_programs_expect() -> None:
    words = {errno.EPERM, errno.ENOSYS}
    assert {group.refused_with for group in (*policy.PRIVILEGED, *policy.NEVER)} == words
    falls_back = {"clone3", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "keyctl",
                  "get_mempolicy", "open_tree_attr"}  # fmt: skip
    unknown = {name for group in policy.GROUPS if group.refused_with == errno.ENOSYS for name in group.calls}
    assert falls_back <= unknown

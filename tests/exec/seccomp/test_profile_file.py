"""Profiles in docker's, podman's and OCI's formats, good and bad."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest

from envgit.errors import UsageError
from envgit.exec.seccomp.filter import default_profile, default_program, oci_program, profile_program
from envgit.exec.seccomp.numbers import load_architecture
from envgit.exec.seccomp.profile_file import Filter, flatten_profile
from envgit.exec.spec import DEFAULT_CAPABILITIES
from tests.exec.seccomp.interpreter import AARCH64, I386, X86_64, Call, check, run
from tests.exec.seccomp.naive import numbers

ALLOW = 0x7FFF0000
TABLE = numbers("x86_64")


def compile_(content: Any, capabilities: tuple[str, ...] = (), architecture: str = "x86_64") -> Filter:
    made = profile_program(json.dumps(content).encode(), capabilities, architecture)
    check(made.program)
    return made


def answer(made: Filter, name: str, *args: int) -> int:
    return run(made.program, Call(TABLE[name], args))


def error(name: str) -> int:
    return 0x50000 | int(getattr(errno, name))


DOCKER = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
    "syscalls": [
        {"names": ["read", "write", "chown32", "cachestat"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["process_vm_readv"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
        {"names": ["process_vm_writev"], "action": "SCMP_ACT_ALLOW", "excludes": {"minKernel": "4.8"}},
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
        {"names": ["uname"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["acct"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN", "CAP_SYS_PACCT"]}},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"]},
         "args": [{"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ"}]},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}]},
    ],
}  # fmt: skip


def test_the_format_of_docker() -> None:
    plain, admin = compile_(DOCKER), compile_(DOCKER, ("CAP_SYS_ADMIN",))
    assert plain.notices == ()  # chown32 is a call, of other architectures
    refused = error("EPERM")
    for name, without, within in (
        ("read", ALLOW, ALLOW), ("ptrace", ALLOW, ALLOW), ("process_vm_readv", refused, refused),
        ("process_vm_writev", refused, refused), ("arch_prctl", ALLOW, ALLOW), ("uname", refused, refused),
        ("mount", refused, ALLOW), ("acct", refused, refused), ("clone3", error("ENOSYS"), refused), ("fork", refused, refused),
    ):  # fmt: skip
        assert (answer(plain, name), answer(admin, name)) == (without, within), name
    assert answer(plain, "clone", 0x11) == ALLOW and answer(plain, "clone", 0x10000011) == refused
    assert answer(admin, "clone", 0x11) == refused
    assert answer(plain, "socket", 1) == ALLOW and answer(plain, "socket", 40) == refused
    assert answer(compile_(DOCKER, ("CAP_SYS_ADMIN", "CAP_SYS_PACCT")), "acct") == ALLOW


def test_other_architectures_never_get_more_than_a_refusal() -> None:
    for default, foreign in (
        ("SCMP_ACT_ALLOW", error("ENOSYS")),
        ("SCMP_ACT_LOG", error("ENOSYS")),
        ("SCMP_ACT_ERRNO", error("ENOSYS")),
        ("SCMP_ACT_KILL_PROCESS", 0x80000000),
    ):
        program = compile_({"defaultAction": default, "archMap": DOCKER["archMap"], "syscalls": []}).program
        for call in (Call(0, (), I386), Call(0, (), AARCH64), Call(0x40000000, (), X86_64), Call(0xFFFFFFFF)):
            assert run(program, call) == foreign


def test_calls_newer_than_the_profile_are_unknown_and_not_forbidden() -> None:
    made = compile_(DOCKER)
    assert run(made.program, Call(TABLE["cachestat"] - 1)) == error("EPERM")
    assert run(made.program, Call(TABLE["cachestat"] + 1)) == error("ENOSYS")
    killing = compile_({**DOCKER, "defaultAction": "SCMP_ACT_KILL_PROCESS"})
    assert run(killing.program, Call(TABLE["cachestat"] + 1)) == 0x80000000


def test_the_format_of_podman_and_of_old_docker() -> None:
    made = compile_({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "defaultErrno": "ENOSYS", "syscalls": [
        {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "errno": "EACCES"},
        {"name": "read", "action": "SCMP_ACT_ALLOW", "args": None},
    ]})  # fmt: skip
    assert [answer(made, name) for name in ("bpf", "read", "write")] == [error("EACCES"), ALLOW, error("ENOSYS")]


def test_the_strictest_of_several_entries_wins_in_any_order() -> None:
    allow = {"names": ["ioctl"], "action": "SCMP_ACT_ALLOW"}
    refuse = {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13,
              "args": [{"index": 1, "value": 0xFFFFFFFF, "valueTwo": 0x5412, "op": "SCMP_CMP_MASKED_EQ"}]}  # fmt: skip
    for entries in ([allow, refuse], [refuse, allow]):
        made = compile_({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": entries})
        assert answer(made, "ioctl", 0, 0x5401) == ALLOW
        assert answer(made, "ioctl", 0, 1 << 32 | 0x5412) == error("EACCES")


def test_several_conditions_and_and_or() -> None:
    def made(*indexes: int) -> Filter:
        args = [{"index": index, "value": place + 1, "op": "SCMP_CMP_EQ"} for place, index in enumerate(indexes)]
        entry = {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": args}
        return compile_({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [entry]})

    both, either = made(0, 2), made(0, 0)
    assert [answer(both, "read", *args) == ALLOW for args in ((1, 0, 2), (1, 0, 3), (0, 0, 2))] == [True, False, False]
    assert [answer(either, "read", value) == ALLOW for value in (1, 2, 3)] == [True, True, False]


def test_unknown_names_are_left_out_and_said() -> None:
    made = compile_({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"], "syscalls": [
        {"names": ["raed", "chown32", "esc\x1b[2J", *(f"new{n}" for n in range(9))], "action": "SCMP_ACT_ERRNO"},
    ]})  # fmt: skip
    logged, unknown = made.notices
    assert "log" in logged
    assert "raed" in unknown and "chown32" not in unknown and "\x1b" not in unknown and "and 3 more" in unknown


def test_the_default_profile_makes_the_default_program() -> None:
    profile = json.loads(json.dumps(default_profile(DEFAULT_CAPABILITIES, False, "x86_64")))
    assert oci_program(profile, "x86_64") == Filter(default_program(DEFAULT_CAPABILITIES, False, "x86_64"))
    assert compile_(profile).program == default_program(DEFAULT_CAPABILITIES, False, "x86_64")


ENTRY = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"defaultAction": "SCMP_ACT_PERMIT"}, "defaultAction: 'SCMP_ACT_PERMIT' is no action"),
        ({"defaultAction": None}, "defaultAction: None is no action"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "SCMP_ACT_NOTIFY needs a program that answers"),
        ({"defaultErrnoRet": 5000}, "5000 is no error number"),
        ({"defaultErrno": "ENOPE"}, "'ENOPE' is no error"),
        ({"syscalls": {}}, None),
        ({"syscalls": "all"}, "`syscalls` is not a list"),
        ({"syscalls": ["read"]}, "syscalls[0] is not an object"),
        ({"syscalls": [{**ENTRY, "action": "SCMP_ACT_TRACE"}]}, "SCMP_ACT_TRACE needs a debugger"),
        ({"syscalls": [ENTRY, {**ENTRY, "action": "allow"}]}, "syscalls[1].action: 'allow' is no action"),
        ({"syscalls": [{**ENTRY, "names": "read"}]}, "names is not a list"),
        ({"syscalls": [{**ENTRY, "names": []}]}, "names is not a list"),
        ({"syscalls": [{**ENTRY, "errno": "EPERMS", "action": "SCMP_ACT_ERRNO"}]}, "'EPERMS' is no error"),
        ({"syscalls": [{**ENTRY, "args": {}}]}, None),
        ({"syscalls": [{**ENTRY, "args": 3}]}, "args is not a list"),
        ({"syscalls": [{**ENTRY, "args": [3]}]}, "args[0] is not an object"),
        ({"syscalls": [{**ENTRY, "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}, "6 is no argument"),
        (
            {"syscalls": [{**ENTRY, "args": [{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]}]},
            "not a number of 64 bits",
        ),
        (
            {"syscalls": [{**ENTRY, "args": [{"index": 0, "value": 1 << 64, "op": "SCMP_CMP_EQ"}]}]},
            "not a number of 64",
        ),
        ({"syscalls": [{**ENTRY, "args": [{"index": 0, "value": 1, "op": "EQ"}]}]}, "'EQ' is no comparison"),
        ({"syscalls": [{**ENTRY, "includes": {"caps": "CAP_KILL"}}]}, "includes.caps is not a list"),
        ({"syscalls": [{**ENTRY, "excludes": {"cpu": 1}}]}, "excludes: 'cpu' is not known"),
        ({"syscalls": [{**ENTRY, "includes": {"minKernel": "new"}}]}, "minKernel 'new' is no version"),
        ({"architectures": ["SCMP_ARCH_S390X"]}, "this machine is x86_64"),
        ({"architectures": 3}, "`architectures` is not a list"),
        ({"flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}, "is no flag"),
    ],
)
def test_bad_profiles_are_refused_with_a_hint(change: dict[str, Any], message: str | None) -> None:
    content = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [ENTRY], **change}
    if message is None:  # empty is as good as absent
        compile_(content)
        return
    with pytest.raises(UsageError) as caught:
        compile_(content)
    assert message in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b'{"linux": {}}']
)
def test_what_is_no_profile_is_refused_with_a_hint(text: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        profile_program(text, (), "x86_64")
    assert caught.value.hint


def test_entries_apply_by_the_version_of_the_kernel() -> None:
    content = {"syscalls": [{**ENTRY, "includes": {"minKernel": "5.9"}}, {**ENTRY, "excludes": {"minKernel": "5.10"}}]}
    machine = load_architecture("x86_64")
    counts = [len(flatten_profile(content, (), machine, version)["syscalls"]) for version in ((5, 8), (5, 9), (5, 10))]
    assert counts == [1, 2, 1]


PODMAN = "/usr/share/containers/seccomp.json"
if os.path.exists(PODMAN):

    @pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
    def test_the_profile_of_the_installed_podman(architecture: str) -> None:
        with open(PODMAN, "rb") as stream:
            made = profile_program(stream.read(), DEFAULT_CAPABILITIES, architecture)
        check(made.program)
        audit, table = {"x86_64": X86_64, "aarch64": AARCH64}[architecture], numbers(architecture)
        answers = {name: run(made.program, Call(number, (), audit)) for name, number in table.items()}
        assert answers["openat"] == answers["execve"] == answers["chroot"] == ALLOW
        assert answers["kexec_load"] == error("EPERM") and answers["io_uring_setup"] != ALLOW
        assert made.notices == ()

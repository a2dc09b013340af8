"""The filter in the running kernel: calls that it refuses reach the kernel without it, calls that it allows are unchanged."""

from __future__ import annotations

import ast
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envgit.exec.seccomp.filter import default_program, install, profile_program
from envgit.exec.spec import DEFAULT_CAPABILITIES
from tests.exec.seccomp.naive import numbers

ROOT = Path(__file__).resolve().parents[3]
TABLE = numbers(os.uname().machine)
NONE = (1 << 64) - 1
HIGH = 1 << 40

REFUSED = {
    ("ioctl", NONE, 0x5412): errno.EPERM,
    ("ioctl", NONE, HIGH | 0x5412): errno.EPERM,
    ("ioctl", NONE, 0x541C): errno.EPERM,
    ("ioctl", NONE, HIGH | 0x541C): errno.EPERM,
    ("socket", 17, 2, 0): errno.EAFNOSUPPORT,
    ("socket", 1 << 32 | 1, 1, 0): errno.EAFNOSUPPORT,
    ("io_uring_enter", NONE, 0, 0, 0, 0, 0): errno.EPERM,
    ("keyctl", 99999): errno.ENOSYS,
    ("userfaultfd", NONE): errno.EPERM,
    ("perf_event_open", 0, 0, NONE, NONE, NONE): errno.EPERM,
    ("clone3", 0, 0): errno.ENOSYS,
    ("clone", 0x10000200): errno.EPERM,
    ("unshare", 0x10000001): errno.EPERM,
    ("setns", NONE, 0): errno.EPERM,
    ("mount", 0, 0, 0, 0, 0): errno.EPERM,
    ("umount2", 0, NONE): errno.EPERM,
    ("fsopen", 0, NONE): errno.ENOSYS,
    ("open_tree", NONE, 0, NONE): errno.ENOSYS,
    ("move_mount", NONE, 0, NONE, 0, NONE): errno.ENOSYS,
    ("mount_setattr", NONE, 0, NONE, 0, 0): errno.ENOSYS,
    ("personality", 0x40000): errno.ENOSYS,
    ("pidfd_getfd", NONE, 0, 0): errno.EPERM,
    ("process_madvise", NONE, 0, 0, 0, 0): errno.EPERM,
    ("vmsplice", NONE, 0, 0, 0): errno.EPERM,
}
"""Chosen so that the kernel answers something else without the filter, whoever asks."""

REFUSED_TO_ROOT = {
    ("bpf", 999, 0, 0): errno.EPERM,
    ("open_by_handle_at", NONE, 0, 0): errno.EPERM,
    ("swapon", 0, 0): errno.EPERM,
    ("acct", 1): errno.EPERM,
    ("settimeofday", 1, 0): errno.EPERM,
    ("quotactl", NONE, 0, 0, 0): errno.EPERM,
}
"""The same, where only root gets another answer without the filter."""

UNCHANGED = (
    ("ioctl", NONE, 0x5401), ("ioctl", NONE, 0x5413), ("ioctl", NONE, HIGH | 0x5401), ("unshare", 0x200),
    ("personality", NONE >> 32), ("socket", 1, 1, 0), ("socket", 2, 1, 0), ("socket", 16, 3, 0),
    ("openat2", NONE, 0, 0, 0), ("close_range", 9, 1, 0),
    ("faccessat2", NONE, 0, 0, 0), ("futex_waitv", 0, 0, 0, 0, 0), ("pidfd_open", NONE, 0), ("epoll_pwait2", NONE, 0, 0, 0, 0),
    ("landlock_create_ruleset", 0, 0, 1), ("ptrace", 16, 1 << 30, 0, 0), ("getrandom", 0, 0, 0), ("memfd_create", 0, 0),
    ("seccomp", 99, 0, 0), ("io_setup", 0, 0), ("copy_file_range", NONE, 0, NONE, 0, 0, 0),
)  # fmt: skip


def ask(calls: list[tuple[int | None, tuple[int, ...]]], program: Path | None) -> list[int]:
    words = [sys.executable, "-m", "tests.exec.seccomp.probe", str(program or "-"), repr(calls)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=60, check=False)
    if done.returncode < 0:
        return [done.returncode]
    assert done.returncode == 0, done.stderr
    answers: list[int] = ast.literal_eval(done.stdout.decode())
    return answers


def execute(words: list[str], program: Path | None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.exec.seccomp.probe", str(program or "-"), repr(words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("filter") / "default.bpf"
    path.write_bytes(default_program(DEFAULT_CAPABILITIES))
    return path


def numbered(calls: list[tuple[str | int, ...]]) -> list[tuple[int | None, tuple[int, ...]]]:
    return [(TABLE[str(name)], tuple(int(each) for each in arguments)) for name, *arguments in calls]


def test_refused_calls_are_refused_and_only_by_the_filter(default: Path) -> None:
    expected: dict[tuple[str | int, ...], int] = {**REFUSED, **(REFUSED_TO_ROOT if os.geteuid() == 0 else {})}
    calls = numbered(list(expected))
    assert dict(zip(expected, ask(calls, default), strict=True)) == expected
    for call, without in zip(expected, ask(calls, None), strict=True):
        assert without != expected[call], call


def test_allowed_calls_answer_as_without(default: Path) -> None:
    calls = numbered(list(UNCHANGED))
    assert dict(zip(UNCHANGED, ask(calls, default), strict=True)) == dict(zip(UNCHANGED, ask(calls, None), strict=True))


def test_numbers_of_no_call_are_unknown(default: Path) -> None:
    unknown: list[tuple[int | None, tuple[int, ...]]] = [(number, ()) for number in (400, 1023, 0x40000027, 1 << 31)]
    assert ask(unknown, default) == [errno.ENOSYS] * 4


if os.uname().machine == "x86_64":

    def test_the_gate_of_i386_is_shut(default: Path) -> None:
        without = ask([(None, ())], None)
        if without == [0]:
            assert ask([(None, ())], default) == [errno.ENOSYS]
        else:  # this kernel has no such gate, and the program dies of it
            assert without[0] < 0


def test_namespaces_are_refused_and_can_be_granted(default: Path, tmp_path: Path) -> None:
    nested = tmp_path / "nested.bpf"
    nested.write_bytes(default_program(DEFAULT_CAPABILITIES, nested_namespaces=True))
    words = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    assert execute(words, None).returncode == 0
    assert execute(words, nested).returncode == 0
    refused = execute(words, default)
    assert refused.returncode == 1 and "Operation not permitted" in refused.stderr


def test_a_custom_profile_is_carried_out(tmp_path: Path) -> None:
    text = b"""{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["uname"], "action": "SCMP_ACT_ERRNO",
        "errnoRet": 95}, {"names": ["personality"], "action": "SCMP_ACT_KILL_PROCESS", "args": [
        {"index": 0, "value": 4294967295, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}]}]}"""
    path = tmp_path / "custom.bpf"
    path.write_bytes(profile_program(text, ()).program)
    assert ask(numbered([("uname", 0), ("personality", 0)]), path) == [95, 0]
    assert ask(numbered([("personality", 8)]), path) == [-31]  # SIGSYS
    assert ask(numbered([("personality", HIGH | 8)]), path) == [-31]


PROGRAM = """
import concurrent.futures, multiprocessing, os, socket, subprocess, tempfile, threading, select, mmap, fcntl, signal
assert list(concurrent.futures.ThreadPoolExecutor(4).map(abs, range(-9, 0)))[0] == 9
assert multiprocessing.get_context("spawn").Pool(1).map(abs, [-3]) == [3]
assert subprocess.run(["sh", "-c", "echo $((6*7)) | cat"], capture_output=True).stdout == b"42\\n"
left, right = socket.socketpair(); left.send(b"x"); assert right.recv(1) == b"x"
server = socket.create_server(("127.0.0.1", 0)); client = socket.create_connection(server.getsockname())
with tempfile.TemporaryDirectory() as folder:
    os.mkfifo(folder + "/fifo"); os.symlink("a", folder + "/link"); os.chmod(folder, 0o750)
    with open(folder + "/file", "wb") as file:
        file.truncate(9000); fcntl.flock(file, fcntl.LOCK_EX); os.posix_fallocate(file.fileno(), 0, 9000)
    os.copy_file_range(os.open(folder + "/file", os.O_RDONLY), os.open(folder + "/copy", os.O_CREAT | os.O_WRONLY), 9000)
select.epoll(); os.memfd_create("m"); os.eventfd(1); os.pidfd_open(os.getpid()); os.getrandom(4); os.sched_getaffinity(0)
master, slave = os.openpty(); assert os.isatty(slave)
print("well")
"""


def test_an_interpreter_finds_what_it_needs(default: Path) -> None:
    done = execute([sys.executable, "-c", PROGRAM], default)
    assert (done.stdout, done.stderr) == ("well\n", "")


PROGRAMS = [
    name for name in ("bash", "git", "tar", "perl", "gcc", "node", "java", "apt-get", "dpkg") if shutil.which(name)
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_start(program: str, default: Path) -> None:
    done = execute([program, "-version" if program == "java" else "--version"], default)
    assert done.returncode == 0, done.stderr


def test_install_refuses_what_is_no_program() -> None:
    done = execute(["true"], ROOT / "pyproject.toml")
    assert done.returncode == 1 and "seccomp" in done.stderr and "Invalid argument" in done.stderr
    install(b"")  # nothing asked for, nothing done

"""Work in a forked child: commands run in-process there, so that hundreds of them cost what their work costs."""

from __future__ import annotations

import io
import os
import pickle
import select
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from envgit.cli import main as cli_main
from envgit.cli.fast_lane import run_fast
from envgit.cli.session import Session

T = TypeVar("T")

TIMEOUT_SECONDS = 120
CAMPAIGN = os.environ.get("HYPOTHESIS_PROFILE") == "campaign"
"""Whether this is the long run (`make campaign`): more points, more faults, longer walks."""
ENVIRON: Mapping[str, str] = {
    "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}


class Result(NamedTuple):
    """How a command ended: exit status (128 + N for signal N) and what it said."""

    status: int
    out: str
    err: str

    @property
    def killed(self) -> bool:
        return self.status == 128 + signal.SIGKILL

    def good(self) -> Result:
        """Assert success and return self."""
        assert self.status == 0, self
        return self

    def is_clear_error(self) -> bool:
        """One line that begins with `envgit: `, hints beside it, and neither a traceback nor a confession of a bug."""
        lines = self.err.splitlines()
        said = [line for line in lines if line.startswith("envgit: ")]
        rest = [line for line in lines if not line.startswith(("envgit: ", "hint: ", "warning: ", "  "))]
        bug = "Traceback" in self.err or "internal error" in self.err
        return self.status != 0 and len(said) == 1 and not rest and not bug


class Running:
    """A command in a forked child."""

    def __init__(self, pid: int, out: int, err: int) -> None:
        self.pid, self._out, self._err = pid, out, err

    def wait(self, timeout: float = TIMEOUT_SECONDS) -> Result:
        status = wait_status(self.pid, timeout)
        texts = []
        for fd in (self._out, self._err):
            os.lseek(fd, 0, os.SEEK_SET)
            with open(fd, "rb") as file:
                texts.append(file.read().decode("utf-8", "replace"))
        return Result(status, *texts)


def wait_status(pid: int, timeout: float = TIMEOUT_SECONDS) -> int:
    """Wait for a child, kill it at the deadline; return its exit status, 128 + N for signal N."""
    handle = os.pidfd_open(pid)
    try:
        if not select.select([handle], [], [], timeout)[0]:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"process {pid} did not end within {timeout} s")
    finally:
        os.close(handle)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def start(
    project: Path, *words: str, prepare: Callable[[], None] | None = None, environ: Mapping[str, str] = ENVIRON
) -> Running:
    """Start `envgit WORDS` in `project`; `prepare` runs in the child first (fault hooks, patches)."""
    out, err = os.memfd_create("out"), os.memfd_create("err")
    pid = os.fork()
    if pid == 0:
        _become_command(project, words, prepare, environ, out, err)
    return Running(pid, out, err)


def envgit(
    project: Path, *words: str, prepare: Callable[[], None] | None = None, environ: Mapping[str, str] = ENVIRON
) -> Result:
    """Run `envgit WORDS` in `project` and wait for it."""
    return start(project, *words, prepare=prepare, environ=environ).wait()


def _become_command(
    project: Path,
    words: tuple[str, ...],
    prepare: Callable[[], None] | None,
    environ: Mapping[str, str],
    out: int,
    err: int,
) -> NoReturn:
    status = 99
    try:
        os.chdir(project)
        os.environ.clear()
        os.environ.update(environ)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "rb", closefd=False)))
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "wb", closefd=False)), errors="surrogateescape")
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(io.FileIO(2, "wb", closefd=False)), errors="backslashreplace", write_through=True
        )
        if prepare is not None:
            prepare()
        session = Session(os.environ)
        fast = run_fast(list(words), session)
        status = cli_main.run(list(words), session) if fast is None else fast
        sys.stdout.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def in_child(work: Callable[[], T]) -> T:
    """Return what `work` returns in a forked child (picklable): it may enter namespaces and install hooks."""
    memory = os.memfd_create("result")
    pid = os.fork()
    if pid == 0:
        try:
            answer: tuple[bool, Any] = (True, work())
        except BaseException:
            answer = (False, traceback.format_exc())
        with open(memory, "wb") as file:
            pickle.dump(answer, file)
        os._exit(0)
    status = wait_status(pid)
    assert status == 0, status
    os.lseek(memory, 0, os.SEEK_SET)
    with open(memory, "rb") as file:
        fine, value = pickle.load(file)
    assert fine, value
    result: T = value
    return result

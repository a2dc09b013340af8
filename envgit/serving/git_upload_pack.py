"""Answers by stock git's upload-pack, one process for each."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Mapping
from contextlib import suppress
from threading import Lock
from typing import Final

from envgit.exec.process import PYTHON_IGNORES
from envgit.serving.errors import AnswerFailed
from envgit.serving.public_history import PUBLIC_PREFIXES, Public
from envgit.serving.request import Request

_READ_BYTES: Final = 1 << 17
_ERROR_BYTES: Final = 4096
_SETTINGS: Final = (
    "uploadpack.allowTipSHA1InWant=false", "uploadpack.allowReachableSHA1InWant=false", "uploadpack.allowAnySHA1InWant=false",
    "uploadpack.allowFilter=false", "uploadpack.allowRefInWant=false", "uploadpack.allowSidebandAll=false",
    "transfer.advertiseObjectInfo=false", "lsrefs.unborn=advertise", "core.hooksPath=/dev/null", "transfer.hideRefs=refs",
    *(f"transfer.hideRefs=!{prefix.rstrip('/')}" for prefix in PUBLIC_PREFIXES),
)  # fmt: skip
"""Last means strongest, among the hidden refs too: whatever the configuration says, just branches and tags are shown."""


class GitUploadPack:
    """Runs `program` on a repository."""

    def __init__(self, program: str, git_dir: str, environ: Mapping[str, str]) -> None:
        self.program = program
        self._git_dir = git_dir
        kept = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
        self._variables = {**kept, "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
                           "GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}  # fmt: skip
        self._running: set[int] = set()
        self._lock = Lock()
        self._stopped = False

    def advertise(self, version: int, public: Public) -> Generator[bytes, None, None]:
        """Yield the capabilities, and before protocol 2 the refs."""
        return self._run(("--advertise-refs",), b"", version, public)

    def answer(self, request: Request, version: int, public: Public) -> Generator[bytes, None, None]:
        """Yield names or a pack."""
        return self._run((), request.body, version, public)

    def stop(self) -> None:
        """Kill the processes; their answers end incomplete, which clients notice."""
        with self._lock:
            self._stopped = True
            for pid in self._running:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _run(
        self, options: tuple[str, ...], given: bytes, version: int, public: Public
    ) -> Generator[bytes, None, None]:
        settings = [*_SETTINGS, *(() if public.head else ("transfer.hideRefs=HEAD", "lsrefs.unborn=ignore"))]
        words = [
            "git",
            *(word for setting in settings for word in ("-c", setting)),
            "-c",
            f"safe.directory={self._git_dir}",
        ]
        words += ["upload-pack", "--strict", "--timeout=600", "--stateless-rpc", *options, self._git_dir]
        variables = {**self._variables, "GIT_PROTOCOL": f"version={version}"} if version else self._variables
        stdin, stderr = os.memfd_create("request"), os.memfd_create("stderr")
        out = -1
        pid = 0
        try:
            _write(stdin, given)
            out, child_end = os.pipe()
            try:
                pid = self._start(words, variables, stdin, child_end, stderr)
            finally:
                os.close(child_end)
            while piece := os.read(out, _READ_BYTES):
                yield piece
            status = self._wait(pid)
            pid = 0
            if status:
                said = os.pread(stderr, _ERROR_BYTES, 0).decode("utf-8", "replace").strip()
                raise AnswerFailed(
                    f"git upload-pack failed ({status}): {said.splitlines()[-1] if said else 'it said nothing'}"
                )
        finally:
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self._wait(pid)
            for fd in (stdin, stderr, out):
                if fd >= 0:
                    os.close(fd)

    def _start(self, words: list[str], variables: dict[str, str], stdin: int, stdout: int, stderr: int) -> int:
        """Start git in a process group of its own, so that a ^C for the server reaches only the server."""
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate((stdin, stdout, stderr))]
        with self._lock:
            if self._stopped:
                raise AnswerFailed("the server is stopping")
            pid = os.posix_spawn(
                self.program,
                words,
                variables,
                file_actions=actions,
                setpgroup=0,
                setsigmask=(),
                setsigdef=PYTHON_IGNORES,
            )
            self._running.add(pid)
        return pid

    def _wait(self, pid: int) -> int:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with self._lock:  # reaped there, so that stop() never kills another process of the same number
            self._running.discard(pid)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)

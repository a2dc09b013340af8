"""Work in a child process that may use only so much: for reading what a stranger made.

The child is a copy of the caller, so it needs no protocol for what it reads; what it says comes back through a pipe, in order.
It cannot gain privileges, dumps no core, and dies with its parent.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, NoReturn

from envgit.exec import linux

Send = Callable[[bytes], None]
"""Sends one message to whoever reads the pipe; of at most MESSAGE_MAX_BYTES from more than one process at a time."""

MESSAGE_MAX_BYTES = 4000
_HEAD_BYTES = 9
_READ_BYTES = 1 << 20
_MESSAGE, _RESULT, _NO_MEMORY = b"mrx"


class Limits(NamedTuple):
    """`memory_bytes` on top of what the process has mapped already; `file_bytes`: the largest file it may write."""

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int
    open_files: int = 256


class ChildDied(Exception):
    """The child ended without a result. `signal`: what killed it; 0 when it stopped by itself; `memory`: it had too little."""

    def __init__(self, signal: int, memory: bool = False) -> None:
        super().__init__(signal)
        self.signal = signal
        self.memory = memory


class LimitedChild:
    """A running child. Leave it through `finish()` or `kill()`."""

    def __init__(self, work: Callable[[Send], bytes], limits: Limits | None = None) -> None:
        """Start `work` in a child; without `limits` it inherits the caller's. `work` must not rely on threads of the caller."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
        if self._pid == 0:
            _run(work, limits, writing, parent)
        os.close(writing)
        self._fd = reading

    def finish(self, on_message: Callable[[bytes], None]) -> bytes:
        """Wait for the end and return what `work` returned; messages are handed on as they come. Raises ChildDied."""
        buffer = bytearray()
        result: bytes | None = None
        memory = False
        try:
            while piece := os.read(self._fd, _READ_BYTES):
                buffer += piece
                while len(buffer) >= _HEAD_BYTES:
                    end = _HEAD_BYTES + int.from_bytes(buffer[1:_HEAD_BYTES], "big")
                    if len(buffer) < end:
                        break
                    kind, data = buffer[0], bytes(buffer[_HEAD_BYTES:end])
                    del buffer[:end]
                    if kind == _MESSAGE:
                        on_message(data)
                    elif kind == _RESULT:
                        result = data
                    else:
                        memory = True
        except BaseException:
            self.kill()
            raise
        code = os.waitstatus_to_exitcode(self._reap())
        if code or result is None:
            raise ChildDied(max(0, -code), memory)
        return result

    def kill(self) -> None:
        """End the child now; safe to call after finish()."""
        if self._pid > 0:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._reap()

    def _reap(self) -> int:
        status = os.waitpid(self._pid, 0)[1]
        os.close(self._fd)
        self._pid = 0
        return status


def _run(work: Callable[[Send], bytes], limits: Limits | None, fd: int, parent: int) -> NoReturn:
    status = 1
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            # ^C reaches the whole terminal: the parent decides, and its end is the child's.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
            signal.signal(signal.SIGXCPU, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
            if limits is not None:
                _limit(limits)
            try:
                _send(fd, _RESULT, work(lambda data: _send(fd, _MESSAGE, data)))
                status = 0
            except MemoryError:
                _send(fd, _NO_MEMORY, b"")
    finally:
        os._exit(status)


def _limit(limits: Limits) -> None:
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    with open("/proc/self/statm", "rb") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_AS, mapped + limits.memory_bytes),
    ):
        hard = resource.getrlimit(kind)[1]
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (least, least))
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or hard > limits.cpu_seconds:  # at the soft limit SIGXCPU, which says what it was
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 5))


def _send(fd: int, kind: int, data: bytes) -> None:
    frame = memoryview(bytes((kind,)) + len(data).to_bytes(_HEAD_BYTES - 1, "big") + data)
    while frame:
        frame = frame[os.write(fd, frame) :]

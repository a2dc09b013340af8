"""The one writer's lock of a repository: flock(2), so it ends with its holder whatever happens to it."""

from __future__ import annotations

import fcntl
import os
import time
from types import TracebackType

from envgit.errors import RepositoryBusy
from envgit.store import storage

WAIT_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.002
_LONGEST_PAUSE_SECONDS = 0.05
_CONTENT_MAX_BYTES = 4096


class RepositoryLock:
    """Exclusive among envgit's writers. The file's content (pid, start time, command) only serves the error message."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd >= 0

    def acquire(self, command: bytes, wait_seconds: float = WAIT_SECONDS) -> None:
        """Wait up to `wait_seconds`, then raise RepositoryBusy naming the holder. Not reentrant."""
        assert self._fd < 0
        try:
            storage.reach("lock")
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            storage.fail("open", self._path, error)
        try:
            self._wait(fd, wait_seconds)
            content = b"%d %d %b\n" % (os.getpid(), _start_time(os.getpid()), command[: _CONTENT_MAX_BYTES - 64])
            storage.write_all(fd, content, step="lock-write", path=self._path, offset=0)
            os.ftruncate(fd, len(content))
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def _wait(self, fd: int, wait_seconds: float) -> None:
        deadline = time.monotonic() + wait_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise _busy(os.pread(fd, _CONTENT_MAX_BYTES, 0)) from None
            except OSError as error:
                storage.fail("lock", self._path, error)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def release(self) -> None:
        """Let the next writer in; does nothing when not held."""
        if self._fd >= 0:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> RepositoryLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _busy(content: bytes) -> RepositoryBusy:
    words = content.rstrip(b"\n").split(b" ", 2)
    if len(words) == 3 and words[0].isdigit():
        command = words[2].decode("utf-8", "backslashreplace")
        holder = f"process {int(words[0])} ({command})"
        hint = f"wait until it ends; 'ps {int(words[0])}' shows it"
    else:
        holder, hint = "another process", "wait until it ends"
    return RepositoryBusy(f"the repository is being changed by {holder}", hint=hint)


def _start_time(pid: int) -> int:
    """Clock ticks since boot at which a process started (proc(5), stat field 22); 0 when /proc is not there."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0

"""Starting ssh-keygen and gpg: no shell, few variables, descriptors instead of temporary files, an end in time."""

from __future__ import annotations

import os
import resource
import select
import signal
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from shutil import which
from socket import SHUT_WR, socket
from typing import Final, NamedTuple

from envgit.errors import EnvgitError
from envgit.exec.process import PYTHON_IGNORES, exit_status

_KEPT: Final = frozenset(
    (
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "TERM",
        "TMPDIR",
        "LANG",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "GNUPGHOME",
    )
)
_KEPT_PREFIXES: Final = ("SSH_", "GPG_", "PINENTRY_", "XDG_", "DBUS_", "LC_")
"""What agents, and those who ask for passphrases, are found by."""
_MOST_BYTES: Final = 64 << 10
_MOST_FILE_BYTES: Final = 8 << 20
_CHECK_SECONDS: Final = 20.0
_CHECK_MEMORY_BYTES: Final = 1 << 30
FIRST_FILE: Final = 3
"""The descriptor of the first of a program's files; it finds them as /proc/self/fd/3 and so on."""


class MissingProgram(EnvgitError):
    """The program that makes or checks signatures is not installed, or cannot be started."""

    code = "missing-program"


class Said(NamedTuple):
    """`status` as a shell counts; at most 64 KiB of each stream. `late`: it was killed because of time or length."""

    status: int
    out: str
    error: str
    late: bool = False

    def reason(self) -> str:
        """Return the last line of what it complained of."""
        if self.late:
            return "it took too long, or said too much"
        lines = [line for line in self.error.splitlines() if line.strip() and not line.startswith("[GNUPG:]")]
        return lines[-1].strip()[:300] if lines else f"status {self.status}"


def find_program(name: str, environ: Mapping[str, str]) -> str:
    """Return the path of a program; raises MissingProgram."""
    path = which(name, path=environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"))
    if path is None:
        package = {"ssh-keygen": "openssh-client", "gpg": "gnupg"}.get(name)
        way = (
            f"sudo apt install {package}" if package else "correct gpg.program or gpg.ssh.program: envgit config --list"
        )
        raise MissingProgram(f"{name}, which signatures are made and checked with, was not found", hint=way)
    return path


def program_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that such a program gets."""
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    kept.pop("LC_ALL", None)
    return {**kept, "LC_MESSAGES": "C", "LANGUAGE": "C"}


def file_name(index: int) -> str:
    """Return the name under which a program opens the `index`-th of its files."""
    return f"/proc/self/fd/{FIRST_FILE + index}"


def memory_file(data: bytes) -> int:
    """Return a descriptor (closed on exec) of an unnamed file that holds `data`, at its start."""
    fd = os.memfd_create("signed")
    with open(fd, "wb", buffering=0, closefd=False) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def start(path: str, words: Sequence[str], environ: Mapping[str, str], streams: Sequence[int]) -> int:
    """Start a program whose descriptors 0, 1, 2, 3... are copies of `streams`; return its pid. Raises MissingProgram."""
    # Copies first: posix_spawn's dup2 of one descriptor must not hit another that is still to be copied.
    high = [os.dup(fd) for fd in streams]
    try:
        while min(high) < len(streams):
            high = [*high, *(os.dup(fd) for fd in streams)]
        use = high[-len(streams) :]
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(use)]
        return os.posix_spawn(
            path, list(words), dict(environ), file_actions=actions, setsigmask=(), setsigdef=PYTHON_IGNORES
        )
    except OSError as error:
        raise MissingProgram(
            f"cannot start {path}: {error.strerror}", hint="check its mode and its interpreter"
        ) from error
    finally:
        for fd in set(high):
            os.close(fd)


def check_with(
    program: str, words: Sequence[str], environ: Mapping[str, str], *, payload: bytes, files: Sequence[bytes]
) -> Said:
    """Run a checking program to its end on `payload` (standard input) and `files`; limited, because both may be hostile.

    Raises MissingProgram.
    """
    path = find_program(program, environ)
    out, out_end = os.pipe()
    error, error_end = os.pipe()
    inputs = [memory_file(data) for data in (payload, *files)]
    try:
        streams = [inputs[0], out_end, error_end, *inputs[1:]]
        pid = start(path, [program, *words], program_environment(environ), streams)
    except BaseException:
        os.close(out)
        os.close(error)
        raise
    finally:
        for fd in (out_end, error_end, *inputs):
            os.close(fd)
    try:
        for what, limit in ((resource.RLIMIT_AS, _CHECK_MEMORY_BYTES), (resource.RLIMIT_CPU, int(_CHECK_SECONDS))):
            resource.prlimit(pid, what, (limit, limit))
        said = read_streams((out, error), time.monotonic() + _CHECK_SECONDS)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(out)
        os.close(error)
    if said is None:
        os.kill(pid, signal.SIGKILL)
    status = exit_status(os.waitpid(pid, 0)[1])
    if said is None:
        return Said(status, "", "", late=True)
    return Said(status, said[0].decode("utf-8", "surrogateescape"), said[1].decode("utf-8", "surrogateescape"))


def read_streams(
    fds: tuple[int, int],
    deadline: float,
    hear: Callable[[bytes], object] = bytes,
    feed: socket | None = None,
    payload: bytes = b"",
) -> tuple[bytes, bytes] | None:
    """Read two pipes to their ends; None when it is `deadline` (of the monotonic clock) before, or one says more than 64 KiB.

    `hear` is called with all that the second said so far, whenever it says more. `payload` is written to `feed` meanwhile, and its
    end told; a program that reads no more is no error, what it says is.
    """
    said = dict.fromkeys(fds, b"")
    open_ = list(fds)
    rest = memoryview(payload)
    if feed is not None:
        feed.setblocking(False)
    while open_:
        left = max(0.0, deadline - time.monotonic())
        ready, writable, _ = select.select(open_, [] if feed is None else [feed], [], left)
        if not ready and not writable:
            return None
        if feed is not None and writable:
            try:
                rest = rest[feed.send(rest) :]
                if not rest:
                    feed.shutdown(SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                rest = rest[:0]
            if not rest:
                feed = None
        for fd in ready:
            data = os.read(fd, _MOST_BYTES)
            said[fd] += data
            if fd == fds[1]:
                hear(said[fd])
            if not data:
                open_.remove(fd)
            if len(said[fd]) > _MOST_BYTES:
                return None
    return said[fds[0]], said[fds[1]]


def read_file(path: str, what: str) -> bytes:
    """Return a regular file of the user's configuration; raises EnvgitError for another kind or more than 8 MiB."""
    where = "envgit config --list shows where it is set"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise EnvgitError(f"{what} {path} cannot be read: {error.strerror}", hint=where) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise EnvgitError(f"{what} {path} is not a file", hint=where)
        with open(fd, "rb", closefd=False) as file:
            data = file.read(_MOST_FILE_BYTES + 1)
    except OSError as error:
        raise EnvgitError(f"{what} {path} cannot be read: {error.strerror}", hint=where) from error
    finally:
        os.close(fd)
    if len(data) > _MOST_FILE_BYTES:
        raise EnvgitError(f"{what} {path} is larger than 8 MiB", hint="it is to list keys, one on a line")
    return data

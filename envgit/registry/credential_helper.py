"""Programs that keep credentials: docker-credential-NAME, spoken to as docker does (`get`, a name on standard input, JSON back)."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import time
from collections.abc import Mapping
from typing import Final

from envgit.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MOST_BYTES: Final = 1024 * 1024
_SECONDS: Final = 60.0
_NOT_FOUND: Final = "credentials not found"


def ask_helper(name: str, server: str, environ: Mapping[str, str], file: str) -> tuple[str, str] | None:
    """Return (user, secret), None if the helper has none for `server`. `file` named the helper, for messages.

    Raises UsageError when it is missing, fails, takes longer than a minute or answers something else.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{ascii(name)} in {file} is no name of a credential helper", hint=f"correct {file}")
    words = [f"docker-credential-{name}", "get"]
    program = shutil.which(words[0], path=environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"))
    if program is None:
        raise UsageError(f"{words[0]}, which {file} names, is not installed", hint=f"install it, or correct {file}")
    status, output = _run(program, words, server.encode() + b"\n", environ)
    text = output.decode("utf-8", "replace").strip()
    if status != 0:
        if _NOT_FOUND in text:
            return None
        raise UsageError(
            f"{words[0]} failed: {text[:200] or f'status {status}'}", hint=f"try: echo {server} | {words[0]} get"
        )
    try:
        answer = json.loads(text)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, RecursionError, KeyError, TypeError):
        user = secret = None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise UsageError(
            f"{words[0]} did not answer with a user and a secret", hint=f"try: echo {server} | {words[0]} get"
        )
    return (user, secret) if user or secret else None


def _run(program: str, words: list[str], stdin: bytes, environ: Mapping[str, str]) -> tuple[int, bytes]:
    """Run to the end; return its status (-1: killed because of time or size) and what it wrote to standard output."""
    into, feed = os.pipe()
    drain, out = os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, into, 0),
        (os.POSIX_SPAWN_DUP2, out, 1),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
    ]
    try:
        os.write(feed, stdin)  # a name: always less than a pipe holds
        pid = os.posix_spawn(
            program,
            words,
            dict(environ),
            file_actions=actions,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )
    except OSError as error:
        os.close(drain)
        raise UsageError(
            f"cannot start {program}: {error.strerror}", hint="check its mode and its interpreter"
        ) from error
    finally:
        for fd in (into, feed, out):
            os.close(fd)
    try:
        output = _read_all(drain, time.monotonic() + _SECONDS)
    finally:
        os.close(drain)
    if output is None:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return (-1, b"it took too long, or said too much") if output is None else (status, output)


def _read_all(fd: int, deadline: float) -> bytes | None:
    output = b""
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        data = os.read(fd, 65536)
        if not data:
            return output
        output += data
        if len(output) > _MOST_BYTES:
            return None
    return None

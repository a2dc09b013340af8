"""Programs that keep credentials: docker-credential-NAME, spoken to as docker does.

`get` reads a name and answers with JSON; `store` reads JSON; `erase` reads a name.
"""

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
_MOST_SENT_BYTES: Final = 32 * 1024
"""Less than a pipe holds: nobody has to read while it is written."""
_NOT_FOUND: Final = "credentials not found"


def ask_helper(name: str, server: str, environ: Mapping[str, str], file: str) -> tuple[str, str] | None:
    """Return (user, secret), None if the helper has none for `server`. `file` named the helper, for messages.

    Raises UsageError when it is missing, fails, takes longer than a minute or answers something else.
    """
    text = _call(name, "get", server.encode() + b"\n", environ, file, f"echo {server} | docker-credential-{name} get")
    if text is None:
        return None
    try:
        answer = json.loads(text)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, RecursionError, KeyError, TypeError):
        user = secret = None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise UsageError(
            f"docker-credential-{name} did not answer with a user and a secret",
            hint=f"try: echo {server} | docker-credential-{name} get",
        )
    return (user, secret) if user or secret else None


def tell_helper(name: str, server: str, user: str, secret: str, environ: Mapping[str, str], file: str) -> None:
    """Have the helper keep credentials. Raises as ask_helper does; also when there are more than 32 KiB of them."""
    data = json.dumps({"ServerURL": server, "Username": user, "Secret": secret}).encode()
    if len(data) > _MOST_SENT_BYTES:
        raise UsageError("the password is longer than a credential helper takes", hint="use a shorter one")
    _call(name, "store", data, environ, file, f"docker-credential-{name} list")


def clear_helper(name: str, server: str, environ: Mapping[str, str], file: str) -> bool:
    """Have the helper forget what it keeps for `server`; False when it had nothing. Raises as ask_helper does."""
    if ask_helper(name, server, environ, file) is None:
        return False
    _call(name, "erase", server.encode() + b"\n", environ, file, f"echo {server} | docker-credential-{name} erase")
    return True


def _call(name: str, verb: str, stdin: bytes, environ: Mapping[str, str], file: str, by_hand: str) -> str | None:
    """Return what the helper says; None when that is that it has nothing for the server."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{ascii(name)} in {file} is no name of a credential helper", hint=f"correct {file}")
    words = [f"docker-credential-{name}", verb]
    program = shutil.which(words[0], path=environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"))
    if program is None:
        raise UsageError(f"{words[0]}, which {file} names, is not installed", hint=f"install it, or correct {file}")
    status, output = _run(program, words, stdin, environ)
    text = output.decode("utf-8", "replace").strip()
    if status == 0:
        return text
    if _NOT_FOUND in text:
        return None
    raise UsageError(f"{words[0]} failed: {text[:200] or f'status {status}'}", hint=f"try: {by_hand}")


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
        os.write(feed, stdin)  # always less than a pipe holds
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

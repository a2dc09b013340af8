"""Values of the options of build: arguments and secrets."""

from __future__ import annotations

import os
import re
import select
import stat
from collections.abc import Iterable, Mapping
from typing import Final

from envgit.errors import SourceError, UsageError

SECRET_MOST_BYTES: Final = 500 * 1024
"""As BuildKit has it: they are held in memory."""
_WRITER_SECONDS: Final = 10.0
"""How long a named pipe without a writer is waited for."""
_SPELLING: Final = "--secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE"
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_KEYS: Final = {"id": "id", "src": "src", "source": "src", "env": "env", "type": "type"}


def parse_build_arguments(texts: Iterable[str], caller: Mapping[str, str]) -> dict[str, str]:
    """Return --build-arg NAME=VALUE words; NAME alone takes the caller's value and is left out when there is none, as docker does.

    Raises UsageError.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or "\0" in text:
            raise UsageError(f"--build-arg {text!r} is not NAME=VALUE", hint="--build-arg NAME passes your variable on")
        if equals:
            found[name] = value
        elif name in caller:
            found[name] = caller[name]
    return found


def parse_secrets(texts: Iterable[str], caller: Mapping[str, str]) -> dict[str, bytes]:
    """Read the secrets of --secret words: from a file of this machine (a pipe will do), or a variable of the caller.

    With neither `src` nor `env`, NAME is the variable, as docker has it. A pipe is read to its end, however long its writer
    takes; one that nobody has opened for writing, for 10 seconds only. Raises UsageError, SourceError; no message holds
    a value.
    """
    found: dict[str, bytes] = {}
    for text in texts:
        fields = _fields(text)
        id = fields.get("id", "")
        if not _IDENTIFIER.match(id):
            raise UsageError(
                f"--secret {text!r} has no id" if not id else f"{id!r} cannot name a secret", hint=_SPELLING
            )
        if id in found:
            raise UsageError(f"the secret {id} is given twice", hint="each id has one value")
        found[id] = _read(id, fields, caller)
    return found


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in text.split(","):
        name, equals, value = word.partition("=")
        if name.lower() not in _KEYS or not equals:
            raise UsageError(f"--secret does not know {word!r}", hint=_SPELLING)
        found[_KEYS[name.lower()]] = value
    kind = found.pop("type", None)
    if kind not in (None, "file", "env"):
        raise UsageError(f"--secret knows type=file and type=env, not {kind!r}", hint=_SPELLING)
    if kind == "env" and "src" in found:  # type=env,src=VARIABLE is what docker's documentation spells
        found["env"] = found.pop("src")
    if "src" in found and "env" in found:
        raise UsageError("a secret comes from src= or from env=, not both", hint=_SPELLING)
    return found


def _read(id: str, fields: Mapping[str, str], caller: Mapping[str, str]) -> bytes:
    if "src" in fields:
        return _read_file(id, os.path.expanduser(fields["src"]))
    name = fields.get("env") or id
    if name not in caller:
        raise UsageError(f"the secret {id} is not given: there is no variable {name}", hint=_SPELLING)
    return os.fsencode(caller[name])


def _read_file(id: str, path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            data = _first_of_pipe(id, path, fd) if stat.S_ISFIFO(os.fstat(fd).st_mode) else b""
            os.set_blocking(fd, True)
            data += file.read(SECRET_MOST_BYTES + 1)
    except OSError as error:
        raise SourceError(f"the secret {id} cannot be read from {path}: {error.strerror}", hint=_SPELLING) from error
    if len(data) > SECRET_MOST_BYTES:
        raise SourceError(
            f"the secret {id} is larger than {SECRET_MOST_BYTES // 1024} KiB",
            hint="it is held in memory: put large files into the context",
        )
    return data


def _first_of_pipe(id: str, path: str, fd: int) -> bytes:
    """Wait until a pipe has data, an end, or at least a writer; return what there is. Raises SourceError when nobody writes."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if poll.poll(_WRITER_SECONDS * 1000):
        return b""
    try:
        data = os.read(fd, SECRET_MOST_BYTES)
    except BlockingIOError:  # a writer has it open: a password may be typed there
        return b""
    if not data:
        raise SourceError(
            f"the secret {id} cannot be read from {path}: nobody writes into the pipe",
            hint="start its writer first, or src=<(COMMAND)",
        )
    return data

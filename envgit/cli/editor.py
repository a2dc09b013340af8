"""Asking for a message with the user's editor, as git does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from envgit.errors import EnvgitError, UsageError

_TEMPLATE = """
# Please enter the commit message for your changes. Lines starting
# with '#' will be ignored, and an empty message aborts the commit.
#
"""


class AbortedCommit(EnvgitError):
    """The message was left empty."""

    code = "empty-message"
    exit_code = 1


def choose_editor(environ: Mapping[str, str]) -> str:
    """Return the editor's command line: GIT_EDITOR, VISUAL (unless the terminal is dumb), EDITOR, else vi."""
    dumb = environ.get("TERM", "dumb") == "dumb"
    names = ("GIT_EDITOR", "EDITOR") if dumb else ("GIT_EDITOR", "VISUAL", "EDITOR")
    for name in names:
        if environ.get(name):
            return environ[name]
    if dumb:
        raise UsageError("the terminal is dumb and EDITOR is not set", hint="give the message with -m or -F")
    return "vi"


def names_editor(environ: Mapping[str, str]) -> bool:
    """Say whether the user chose an editor; without a choice it is vi, which needs a terminal."""
    return any(environ.get(name) for name in ("GIT_EDITOR", "VISUAL", "EDITOR"))


def strip_comments(text: bytes) -> bytes:
    """Return the message without comment lines, trailing spaces and doubled empty lines, as `git stripspace -s`."""
    lines: list[bytes] = []
    for line in text.split(b"\n"):
        if line.startswith(b"#"):
            continue
        line = line.rstrip()
        if line or (lines and lines[-1]):
            lines.append(line)
    while lines and not lines[-1]:
        lines.pop()
    return b"\n".join(lines)


def edit_message(path: str, initial: str, status_lines: Iterable[str], environ: Mapping[str, str]) -> str:
    """Let the user write a message in the file `path`; return it. Raises AbortedCommit when it is empty."""
    editor = choose_editor(environ)
    comments = "".join(f"# {line}".rstrip() + "\n" for line in status_lines)
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(initial + _TEMPLATE + comments)
    status = _run_editor(editor, path, environ)
    if status != 0:
        raise UsageError(f"there was a problem with the editor '{editor}'", hint="give the message with -m or -F")
    with open(path, "rb") as edited:
        message = strip_comments(edited.read())
    if not message:
        raise AbortedCommit("aborting commit due to empty commit message", hint="nothing was changed")
    return os.fsdecode(message)


def _run_editor(editor: str, path: str, environ: Mapping[str, str]) -> int:
    arguments = ["sh", "-c", f'{editor} "$@"', editor, path]
    pid = os.posix_spawn("/bin/sh", arguments, dict(environ))
    while True:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except KeyboardInterrupt:
            continue

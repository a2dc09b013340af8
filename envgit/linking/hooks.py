"""Hooks of the code's git that let the environment follow the code. Hooks of others are never changed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from shutil import which
from typing import NamedTuple

from envgit.errors import Conflict
from envgit.linking.code_repository import CodeRepository
from envgit.store import storage

_CONDITIONS = {"post-checkout": '[ "$3" = 1 ] && ', "post-merge": "", "post-rewrite": '[ "$1" = rebase ] && '}
"""When a hook means that other code is checked out now (githooks(5)): not for single files, not for an amended commit."""

_MARK = "# Made by `envgit link --hook`, taken away by `envgit link --remove`: the environment follows the code."
_WORDS = "link --switch --hooked"


class Hook(NamedTuple):
    """`state`: ours, absent, foreign, or "called": foreign, but it has a line that does the same. `line`: what it must run."""

    name: str
    path: str
    line: str
    state: str


def read_hooks(code: CodeRepository) -> tuple[Hook, ...]:
    """Return the state of each hook. Where core.hooksPath leads elsewhere, even an absent one is somebody else's: "foreign"."""
    own, shared, folder = code.read_paths()
    private = os.path.realpath(folder) == os.path.realpath(os.path.join(shared, "hooks"))
    worktree = os.path.relpath(os.path.realpath(own), os.path.realpath(shared))
    return tuple(_read(code, name, os.path.join(folder, name), worktree, private) for name in _CONDITIONS)


def install_hooks(code: CodeRepository) -> tuple[str, ...]:
    """Install the hooks and return the names of those that are new or changed; all of them or, raising Conflict, none."""
    hooks = read_hooks(code)
    foreign = [hook for hook in hooks if hook.state == "foreign"]
    if foreign:
        lines = "\n".join(f"  {hook.path}:\n    {hook.line}" for hook in foreign)
        raise Conflict(
            f"the hook {foreign[0].name} in {os.path.dirname(foreign[0].path)} is not envgit's to write",
            hint=f"add these lines yourself (and make the files executable):\n{lines}",
        )
    written = []
    for hook in hooks:
        text = f"#!/bin/sh\n{_MARK}\n{hook.line}\n".encode("utf-8", "surrogateescape")
        if hook.state == "called" or (hook.state == "ours" and _content(hook.path) == text):
            continue
        storage.make_directory(os.path.dirname(hook.path), step="hooks-folder", mode=0o777)
        storage.write_file(hook.path, text, step="hook", mode=0o777)
        written.append(hook.name)
    return tuple(written)


def remove_hooks(code: CodeRepository) -> tuple[tuple[str, ...], tuple[Hook, ...]]:
    """Remove envgit's own hooks; return their names, and the hooks of others that have a line of envgit's."""
    hooks = read_hooks(code)
    gone = [hook.name for hook in hooks if hook.state == "ours" and storage.unlink(hook.path, step="hook-remove")]
    return tuple(gone), tuple(hook for hook in hooks if hook.state == "called")


def find_program(environ: Mapping[str, str]) -> str | None:
    """Return the envgit that the hooks call where PATH is as in `environ`; without one they do nothing, and say nothing."""
    return which("envgit", path=environ.get("PATH"))


def _read(code: CodeRepository, name: str, path: str, worktree: str, private: bool) -> Hook:
    relative = os.path.relpath(os.path.realpath(code.project), os.path.realpath(code.top))
    project = shlex.quote(os.path.join(os.curdir, relative))
    line = (
        f"if {_CONDITIONS[name]}[ -e {project}/.envgit ] && command -v envgit >/dev/null 2>&1; then "
        f'envgit -C {project} {_WORDS} {shlex.quote(worktree)} --code "$PWD" || :; fi'
    )
    content = _content(path)
    if content is None:
        return Hook(name, path, line, "absent" if private and not os.path.lexists(path) else "foreign")
    lines = content.decode("utf-8", "surrogateescape").splitlines()
    if lines[1:2] == [_MARK] and len(lines) == 3:
        return Hook(name, path, line, "ours")
    called = any(_WORDS in each and not each.lstrip().startswith("#") for each in lines)
    return Hook(name, path, line, "called" if called else "foreign")


def _content(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(fd, 1 << 20)
        finally:
            os.close(fd)
    except OSError:  # or it is a folder
        return None

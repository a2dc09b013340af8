"""When a repository on this machine may be written to or read from without git's own programs.

What git's receiving or sending side would do more than move objects and refs (hooks, settings, shared permissions, work trees,
borrowed objects) must stay its business: then the answer is why, and the long way is taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from envgit.errors import EnvgitError
from envgit.sharing.linking import why_not_own
from envgit.store.admission import check_repository
from envgit.store.identity import read_sections

_MANY_PACKS: Final = 50
"""gc.autoPackLimit: a receiving git would start a gc, and so it must get the chance."""
_NO: Final = ("false", "no", "off", "0")
_PLAIN: Final = {
    "core.bare": ("true", "yes", "on", "1"),
    "core.repositoryformatversion": ("0", "1"),
    "core.sharedrepository": ("umask", *_NO),
    "core.logallrefupdates": _NO,
    "receive.denydeletes": _NO,
    "receive.denynonfastforwards": _NO,
    "receive.fsckobjects": _NO,
    "transfer.fsckobjects": _NO,
    "transfer.hiderefs": ("refs/envgit",),
}
"""Settings with which the short way does what git would do; without them too."""
_EXACT: Final = ("transfer.hiderefs",)
_FORBIDDEN: Final = ("core.worktree",)
_RECEIVING: Final = (
    "core.bare",
    "core.logallrefupdates",
    "core.sharedrepository",
    "core.worktree",
    "receive.",
    "transfer.fsckobjects",
)
"""What says nothing about sending."""


class _Every:
    """Contains every section."""

    def __contains__(self, section: object) -> bool:
        return True


def is_project(git_dir: str) -> bool:
    """Say whether a repository is one of envgit, with its own lock and operations."""
    return os.path.lexists(git_dir + "/requires")


def why_not_push(git_dir: str, environ: Mapping[str, str]) -> str:
    """Say why objects and refs must not be put into a repository directly; empty when they may."""
    settings = _read(git_dir, environ)
    if is_project(git_dir):  # reflogs are our own transaction's; what is sent was checked when it came to this user
        settings.pop("core.logallrefupdates", None)
        settings.pop("transfer.fsckobjects", None)
    return (
        _why_not_here(git_dir)
        or _why_not_settings(settings, ("receive.", "transfer."))
        or _why_not_hooks(_hooks_folder(git_dir, settings, environ))
        or _why_not_alone(git_dir)
    )


def why_not_fetch(git_dir: str, environ: Mapping[str, str]) -> str:
    """Say why objects must not be taken from a repository directly; empty when they may."""
    settings = _read(git_dir, environ)
    settings = {key: value for key, value in settings.items() if not key.startswith(_RECEIVING)}
    return _why_not_here(git_dir) or _why_not_settings(settings, ("uploadpack.", "transfer."))


def why_not_send(git_dir: str) -> str:
    """Say why the repository that is pushed from is no whole one; empty when it is."""
    return _why_not_whole(git_dir)


def _why_not_here(git_dir: str) -> str:
    for name in ("", "/objects", "/objects/pack", "/refs"):
        try:
            reason = why_not_own(os.stat(git_dir + name))
        except OSError as error:
            return f"{git_dir}{name}: {error.strerror}"
        if reason:
            return f"{git_dir}{name}: {reason}"
    if is_project(git_dir):
        try:
            check_repository(git_dir)
        except EnvgitError as error:
            return error.message
    return _why_not_whole(git_dir)


def _why_not_whole(git_dir: str) -> str:
    for name in ("shallow", "objects/info/alternates", "info/grafts", "refs/replace"):
        if os.path.lexists(f"{git_dir}/{name}") and not _is_empty(f"{git_dir}/{name}"):
            return f"it has {name}"
    try:
        with open(git_dir + "/packed-refs", "rb") as file:
            if b" refs/replace/" in file.read():
                return "it has refs/replace"
    except FileNotFoundError:
        pass
    if any(name.endswith(".promisor") for name in os.listdir(git_dir + "/objects/pack")):
        return "it has promised objects that are elsewhere"
    return ""


def _is_empty(path: str) -> bool:
    try:
        return not os.listdir(path)
    except OSError:
        return False


def _read(git_dir: str, environ: Mapping[str, str]) -> dict[str, str]:
    return read_sections(git_dir, environ, _Every())


def _why_not_settings(settings: Mapping[str, str], sections: tuple[str, ...]) -> str:
    for key, values in settings.items():
        plain = _PLAIN.get(key)
        if plain is not None:
            if not {value if key in _EXACT else value.lower() for value in values.split("\n")}.issubset(plain):
                return f"{key} is {values}"
        elif key.startswith((*sections, "extensions.", "includeif.")) or key in _FORBIDDEN:
            return f"{key} is set"
    return ""


def _hooks_folder(git_dir: str, settings: Mapping[str, str], environ: Mapping[str, str]) -> str:
    path = settings.get("core.hookspath")
    if path is None:
        return git_dir + "/hooks"
    home = environ.get("HOME", "")
    return os.path.join(git_dir, home + path[1:] if path.startswith("~/") else path)


def _why_not_hooks(folder: str) -> str:
    try:
        hooks = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return f"its hooks cannot be seen: {error.strerror}"
    for hook in hooks:
        if not hook.name.endswith(".sample") and os.access(hook.path, os.X_OK):
            return f"it has a hook {hook.name}"
    return ""


def _why_not_alone(git_dir: str) -> str:
    if is_project(git_dir):
        return ""
    if not _is_empty(git_dir + "/worktrees") and os.path.lexists(git_dir + "/worktrees"):
        return "it has work trees"
    packs = sum(name.endswith(".idx") for name in os.listdir(git_dir + "/objects/pack"))
    return "it has many packs: git may want to put them together" if packs >= _MANY_PACKS else ""

"""Remotes in the repository's configuration, as git keeps them: [remote "origin"] and [branch "main"]."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from envgit.errors import Conflict, InvalidName, StorageError, UnknownPath, UsageError
from envgit.remotes.refspec import Refspec, parse_fetch_refspec
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.store import storage
from envgit.store.config_files import config_files
from envgit.store.identity import read_sections
from envgit.store.ref_names import is_ref_name
from envgit.suggestion import did_you_mean
from envgit.transfer.address import without_password

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACKING_PREFIX = "refs/remotes/"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_REMOTE_KEY = re.compile(r"remote\.(.+)\.([a-z]+)\Z", re.DOTALL)


class UnknownRemote(UnknownPath):
    """No remote has this name."""

    code = "unknown-remote"


class Remote(NamedTuple):
    """`tags`: "auto" fetches those of fetched commits, "all" every one, "none" none (git's tagOpt)."""

    name: str
    url: str
    push_url: str
    fetch: tuple[Refspec, ...]
    tags: str = "auto"

    @property
    def shown(self) -> str:
        """The address for messages and logs: without a password."""
        return without_password(self.url)

    @property
    def shown_push(self) -> str:
        """Where pushes go, for messages and logs."""
        return without_password(self.push_url)

    def tracking(self, ref: str) -> str | None:
        """Return where this repository remembers a ref of the remote."""
        return next((found for found in (spec.map(ref) for spec in self.fetch) if found), None)


class Upstream(NamedTuple):
    """What a branch follows. `ref` is its name there, `tracking` what is known of it here ("" when it is not fetched)."""

    remote: str
    ref: str
    tracking: str


def list_remotes(repo: Repository) -> tuple[Remote, ...]:
    """Return the remotes in name order."""
    config = _open(repo)
    names = {
        match[1] for entry in config if (match := _REMOTE_KEY.match(entry.name)) and match[2] in ("url", "pushurl")
    }
    return tuple(_read(repo, config, name) for name in sorted(names))


def find_remote(repo: Repository, name: str) -> Remote | None:
    """Return the remote of this name, None when there is none."""
    config = _open(repo)
    return _read(repo, config, name) if _get(config, f"remote.{name}.url") is not None else None


def require_remote(repo: Repository, name: str) -> Remote:
    """As find_remote(); raises UnknownRemote."""
    remote = find_remote(repo, name)
    if remote is None:
        names = [each.name for each in list_remotes(repo)]
        hint = did_you_mean(name, names) or (
            f"there are: {', '.join(names)}" if names else "add one: envgit remote add origin URL"
        )
        raise UnknownRemote(f"there is no remote {name!r}", hint=hint)
    return remote


def add_remote(repo: Repository, name: str, url: str, *, only: str | None = None) -> Remote:
    """Write a remote that follows all branches, or `only` one. Raises InvalidName; Conflict when the name is taken."""
    check_remote_name(name)
    if find_remote(repo, name) is not None:
        raise Conflict(f"the remote {name} exists already", hint=f"change it: envgit remote set-url {name} URL")
    config = _own(repo)
    _write(config, f"remote.{name}.url", url)
    branch = "*" if only is None else only
    _write(config, f"remote.{name}.fetch", f"+{BRANCH_PREFIX}{branch}:{TRACKING_PREFIX}{name}/{branch}")
    return _read(repo, config, name)


def set_remote_url(repo: Repository, name: str, url: str, *, push: bool = False) -> None:
    """Change where a remote is, or with `push` where pushes to it go. Raises UnknownRemote."""
    require_remote(repo, name)
    _write(_own(repo), f"remote.{name}.{'pushurl' if push else 'url'}", url)


def forget_remote(repo: Repository, name: str) -> None:
    """Remove a remote from the configuration, and from the branches that follow it; its refs are the caller's."""
    require_remote(repo, name)
    config = _own(repo)
    followers = [branch for branch, upstream in _iter_followers(config) if upstream == name]
    for branch in followers:
        _delete(config, f"branch.{branch}.remote", f"branch.{branch}.merge")
    _delete(config, *(entry.name for entry in list(config) if entry.name.startswith(f"remote.{name}.")))
    _drop_empty(repo, "remote", name)
    for branch in followers:
        _drop_empty(repo, "branch", branch)


def rename_in_configuration(repo: Repository, old: str, new: str) -> None:
    """Give a remote another name in the configuration; its refs are the caller's. Raises UnknownRemote, Conflict, InvalidName."""
    check_remote_name(new)
    remote = require_remote(repo, old)
    if find_remote(repo, new) is not None:
        raise Conflict(f"the remote {new} exists already", hint=f"remove it first: envgit remote remove {new}")
    config = _own(repo)
    followers = [branch for branch, upstream in _iter_followers(config) if upstream == old]
    _write(config, f"remote.{new}.url", remote.url)
    if remote.push_url != remote.url:
        _write(config, f"remote.{new}.pushurl", remote.push_url)
    for spec in remote.fetch:
        moved = spec.destination.replace(f"{TRACKING_PREFIX}{old}/", f"{TRACKING_PREFIX}{new}/", 1)
        _guarded(config.set_multivar, f"remote.{new}.fetch", "^$", str(spec._replace(destination=moved)))
    for branch in followers:
        _write(config, f"branch.{branch}.remote", new)
    _delete(config, *(entry.name for entry in list(config) if entry.name.startswith(f"remote.{old}.")))
    _drop_empty(repo, "remote", old)


def read_upstream(repo: Repository, branch: str) -> Upstream | None:
    """Return what a branch follows, None when it follows nothing. Costs one small file when no branch follows anything."""
    try:
        with open(repo.path("config"), "rb") as file:
            if b"[branch " not in file.read():
                return None
    except OSError:
        return None
    branches = read_sections(repo.git_dir, repo.environ, (f"branch.{branch}",))
    name, ref = branches.get(f"branch.{branch}.remote"), branches.get(f"branch.{branch}.merge")
    if not name or not ref:
        return None
    if name == ".":
        return Upstream(name, ref, ref)
    text = read_sections(repo.git_dir, repo.environ, (f"remote.{name}",)).get(f"remote.{name}.fetch")
    spec = _parse_or_warn(repo, name, text) if text else None
    tracking = spec.map(ref) if spec is not None else None
    if tracking is None:  # one of several refspecs
        remote = find_remote(repo, name)
        tracking = remote.tracking(ref) if remote is not None else None
    return Upstream(name, ref, tracking or "")


def set_upstream(repo: Repository, branch: str, remote: str, ref: str) -> None:
    """Let a branch follow `ref` (its full name there) of a remote; "." is this repository."""
    config = _own(repo)
    _write(config, f"branch.{branch}.remote", remote)
    _write(config, f"branch.{branch}.merge", ref)


def unset_upstream(repo: Repository, branch: str) -> None:
    """Let a branch follow nothing any more; nothing happens when it follows nothing."""
    if read_upstream(repo, branch) is None:
        return
    _delete(_own(repo), f"branch.{branch}.remote", f"branch.{branch}.merge")


def read_setting(repo: Repository, key: str) -> str | None:
    """Return the value of a key that wins among all of git's files, None without one."""
    return _get(_open(repo), key)


def check_remote_name(name: str) -> None:
    """Raise InvalidName unless refs can be kept under this name."""
    if name == "HEAD" or not is_ref_name(f"{TRACKING_PREFIX}{name}/x") or not _PLAIN_NAME.fullmatch(name):
        raise InvalidName(f"{name!r} cannot be the name of a remote", hint="letters and digits, such as: origin")


def _open(repo: Repository) -> Any:
    """All scopes, the repository's on top."""
    import pygit2

    config = pygit2.Config()
    for path, level in config_files(repo.git_dir, repo.environ):
        if os.path.isfile(path) and os.access(path, os.R_OK):
            _guarded(config.add_file, path, level)
    return config


def _own(repo: Repository) -> Any:
    import pygit2

    return _guarded(pygit2.Config, repo.path("config"))


def _guarded(work: Any, *arguments: Any) -> Any:
    import pygit2

    try:
        return work(*arguments)
    except (pygit2.GitError, OSError, ValueError) as error:
        raise StorageError(
            f"the configuration cannot be used: {error}", hint="look at it: envgit config --list"
        ) from error


def _get(config: Any, key: str) -> str | None:
    import pygit2

    try:
        return str(config[key])
    except (KeyError, ValueError, pygit2.GitError):
        return None


def _write(config: Any, key: str, value: str) -> None:
    if "\n" in value or "\0" in value:
        raise InvalidName(f"{value!r} has a line break or NUL in it", hint="give it on one line")
    _guarded(config.__setitem__, key, value)


def _delete(config: Any, *keys: str) -> None:
    for key in dict.fromkeys(keys):
        if _get(config, key) is not None:
            _guarded(config.delete_multivar, key, ".*")


def _drop_empty(repo: Repository, section: str, name: str) -> None:
    """Remove the head of a section that has nothing left, not even a comment. Does nothing while git writes the file."""
    path = repo.path("config")
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    head = os.fsencode(f'[{section} "{quoted}"]')
    try:
        fd = os.open(path + ".lock", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except OSError:
        return
    os.close(fd)
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
        kept = [
            line
            for place, line in enumerate(lines, 1)
            if line.strip() != head
            or not next((each for each in lines[place:] if each.strip()), b"[").lstrip().startswith(b"[")
        ]
        if kept != lines:
            storage.write_file(path, b"\n".join(kept), step="config-tidy", mode=os.stat(path).st_mode & 0o777)
    finally:
        storage.unlink(path + ".lock", step="config-unlock")


def _parse_or_warn(repo: Repository, name: str, text: str) -> Refspec | None:
    """Return a refspec of the configuration; None for one that leaves out, and, with a warning, for one that means nothing."""
    if text.startswith("^"):
        return None
    try:
        return parse_fetch_refspec(text)
    except UsageError as error:
        repo.refs.warn_once(f"remote.{name}.fetch in the configuration is left aside: {error.message}")
        return None


def _read(repo: Repository, config: Any, name: str) -> Remote:
    url = _get(config, f"remote.{name}.url") or ""
    texts = list(_guarded(config.get_multivar, f"remote.{name}.fetch"))
    fetch = tuple(spec for text in texts if (spec := _parse_or_warn(repo, name, text)) is not None)
    option = _get(config, f"remote.{name}.tagopt")
    tags = {"--tags": "all", "--no-tags": "none"}.get(option or "", "auto")
    return Remote(name, url, _get(config, f"remote.{name}.pushurl") or url, fetch, tags)


def _iter_followers(config: Any) -> Iterator[tuple[str, str]]:
    """Yield (branch, remote) of every branch that follows one."""
    for entry in config:
        if entry.name.startswith("branch.") and entry.name.endswith(".remote"):
            yield entry.name[len("branch.") : -len(".remote")], entry.value or ""

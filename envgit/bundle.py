"""Bundle: history as one file, to carry where no network goes; `envgit clone FILE` and `fetch FILE` read it."""

from __future__ import annotations

import os
import shlex
import stat
from typing import NamedTuple

from envgit.errors import UnknownRevision, UsageError
from envgit.repo import BRANCH_PREFIX, TAG_PREFIX, Repository
from envgit.store.history import iter_commits
from envgit.store.revisions import resolve_commit, resolve_object
from envgit.suggestion import suggest


class Bundled(NamedTuple):
    """`refs`: (full name, id) in the bundle; `needs`: commits that whoever reads it must have."""

    path: str
    refs: tuple[tuple[str, bytes], ...]
    needs: tuple[bytes, ...]
    bytes: int


def make_bundle(repo: Repository, words: tuple[str, ...], path: str) -> Bundled:
    """Write branches and tags, or the new part of them (`A..B`), to `path`; whole or not at all.

    Without words all branches and tags. Raises UnknownRevision; UsageError where a range ends in no branch or tag, or is empty.
    """
    refs: dict[str, bytes] = {}
    excluded: list[bytes] = []
    if not words:
        refs = {name: oid for prefix in (BRANCH_PREFIX, TAG_PREFIX) for name, oid in repo.refs.iter_refs(prefix)}
    for word in words:
        if word.startswith("^"):
            excluded.append(resolve_commit(repo.objects, repo.refs, word[1:]))
            continue
        start, dots, end = word.partition("..")
        if dots:
            if end.startswith("."):
                raise UsageError(f"{word!r}: a bundle has one end", hint=f"write {start}..{end.lstrip('.')}")
            excluded.append(resolve_commit(repo.objects, repo.refs, start or "HEAD"))
        name = _ref_named(repo, (end if dots else start) or "HEAD")
        refs[name] = resolve_object(repo.objects, repo.refs, name)
    if not refs:
        raise UsageError("there is nothing to bundle", hint="name a branch or tag: envgit bundle main")
    commits = [resolve_commit(repo.objects, repo.refs, name) for name in refs]
    if next(iter_commits(repo.objects, commits, excluded), None) is None:
        raise UsageError(
            "the bundle would be empty: nothing is new", hint="choose an older beginning: envgit bundle OLD..main"
        )
    from envgit.transfer.bundle import write_bundle

    path = os.path.abspath(path)
    _check_place(path)
    needs = write_bundle(repo.git_dir, path, refs, excluded, repo.environ, repo.monitor)
    return Bundled(path, tuple(sorted(refs.items())), tuple(needs), os.stat(path).st_size)


def _check_place(path: str) -> None:
    """Raise UsageError for a name that is taken by anything but a file (/dev/null would become one), or no file can have."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder {folder}", hint=f"make it: mkdir -p {shlex.quote(folder)}")
    mode = os.lstat(path).st_mode if os.path.lexists(path) else stat.S_IFREG
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "a symbolic link" if stat.S_ISLNK(mode) else "a device or pipe"
        raise UsageError(
            f"{path} is {kind}, no file", hint="name a file, or one that is not there yet: envgit bundle -o FILE"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"you may not write into {folder}", hint="name a file elsewhere: envgit bundle -o FILE")


def _ref_named(repo: Repository, word: str) -> str:
    if word in ("HEAD", "@"):
        symbolic = repo.read_head().symbolic
        if symbolic is None or repo.refs.resolve(symbolic) is None:
            raise UsageError("HEAD is on no branch with commits", hint="name a branch: envgit bundle main")
        return symbolic
    for name in (word, BRANCH_PREFIX + word, TAG_PREFIX + word):
        if name.startswith((BRANCH_PREFIX, TAG_PREFIX)) and repo.refs.resolve(name) is not None:
            return name
    names = [name.split("/", 2)[2] for prefix in (BRANCH_PREFIX, TAG_PREFIX) for name, _ in repo.refs.iter_refs(prefix)]
    raise UnknownRevision(f"{word!r} is no branch or tag: a bundle ends in one", hint=suggest(word, names))

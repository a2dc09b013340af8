"""Bundles: refs and the history below them in one file, whole or from commits on that its readers have."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from envgit.errors import InvalidName, NegativeAnswer, UsageError
from envgit.monitor import Monitor
from envgit.store import storage
from envgit.store.history import iter_commits
from envgit.store.object_store import ObjectStore
from envgit.store.objects import parse_commit, parse_tag_target
from envgit.transfer.address import Address
from envgit.transfer.advertising import PRIVATE, is_good_name
from envgit.transfer.bundle_file import Prerequisite, format_head
from envgit.transfer.git_environment import git_variables
from envgit.transfer.git_failures import explain
from envgit.transfer.git_run import run_git, sending_limits
from envgit.transfer.transport import SILENT_SECONDS, chosen_program


class _Selection(NamedTuple):
    references: dict[str, bytes]
    prerequisites: tuple[Prerequisite, ...]


def write_bundle(
    git_dir: str,
    path: str,
    references: Mapping[str, bytes],
    excluded: Iterable[bytes],
    environ: Mapping[str, str],
    monitor: Monitor,
    *,
    program: str | None = None,
) -> tuple[bytes, ...]:
    """Write `references` (full names, or HEAD, to objects) without what `excluded` reaches; return what it needs.

    Atomic: there is the old file or the whole new one. Refs that lead to nothing but what is excluded are left out.

    Raises InvalidName for refs that stay on this machine, NegativeAnswer when nothing would be in it, UsageError when the history
    was cut off above what is excluded, StorageError.
    """
    for name in references:
        if name.startswith(PRIVATE) or not (name == "HEAD" or is_good_name(name)):
            raise InvalidName(f"{name} cannot be in a bundle", hint="name branches or tags")
    selected = _select(ObjectStore(git_dir), references, excluded)
    temporary = storage.temporary_name(os.path.dirname(os.path.abspath(path)), ".envgit-bundle-")
    fd = storage.open_new(temporary, step="bundle", mode=0o666)
    try:
        storage.write_all(
            fd, format_head(selected.prerequisites, selected.references), step="bundle-head", path=temporary
        )
        chosen = chosen_program(environ, program)
        if chosen == "dulwich":
            _pack_here(git_dir, fd, temporary, selected, monitor)
        else:
            _pack_with_git(chosen, git_dir, fd, path, selected, environ, monitor)
        storage.sync_fd(fd, step="bundle-sync", path=temporary)
        storage.rename(temporary, path, step="bundle-rename")
    except BaseException:
        storage.discard(temporary)
        raise
    finally:
        os.close(fd)
    storage.sync_directory(os.path.dirname(os.path.abspath(path)), step="bundle-folder")
    return tuple(each.oid for each in selected.prerequisites)


def _select(objects: ObjectStore, references: Mapping[str, bytes], excluded: Iterable[bytes]) -> _Selection:
    tips = {name: _commit_below(objects, oid) for name, oid in references.items()}
    hidden = {_commit_below(objects, oid) for oid in excluded}
    commits = set(iter_commits(objects, list(dict.fromkeys(tips.values())), hidden))
    kept = {name: oid for name, oid in references.items() if tips[name] in commits}
    if not kept:
        raise NegativeAnswer(
            "there is nothing to put into the bundle", hint="name a branch with commits that the readers do not have"
        )
    cut = commits & objects.shallow()
    if cut:
        raise UsageError(
            f"the history here is cut off at {min(cut).hex()[:12]}, which would be in the bundle",
            hint="get the rest (envgit fetch --unshallow), or exclude it: A..B",
        )
    needed = []
    for oid in {parent for each in commits for parent in parse_commit(objects.read(each)[1]).parents} - commits:
        subject = parse_commit(objects.read(oid)[1]).message.partition(b"\n")[0].decode("utf-8", "replace")
        needed.append(Prerequisite(oid, subject))
    return _Selection(kept, tuple(sorted(needed)))


def _commit_below(objects: ObjectStore, oid: bytes) -> bytes:
    kind, data = objects.read(oid)
    while kind == "tag":
        oid, _ = parse_tag_target(data)
        kind, data = objects.read(oid)
    if kind != "commit":
        raise UsageError(
            f"{oid.hex()[:12]} is a {kind}, and bundles hold history", hint="name branches or tags of commits"
        )
    return oid


def _pack_with_git(
    program: str,
    git_dir: str,
    fd: int,
    path: str,
    selected: _Selection,
    environ: Mapping[str, str],
    monitor: Monitor,
) -> None:
    words = [
        f"--git-dir={git_dir}",
        "pack-objects",
        "--revs",
        "--stdout",
        "--thin",
        "--delta-base-offset",
        "--progress",
    ]
    lines = [oid.hex() for oid in selected.references.values()] + [
        "^" + each.oid.hex() for each in selected.prerequisites
    ]
    done = run_git(
        program,
        words,
        git_variables(environ),
        monitor,
        limits=sending_limits(),
        stdin="".join(line + "\n" for line in lines).encode(),
        silent_seconds=SILENT_SECONDS,
        out_fd=fd,
    )
    if done.status:
        raise explain(done.lines, done.messages, Address("bundle", path, path, ""), done.status, "write")


def _pack_here(git_dir: str, fd: int, path: str, selected: _Selection, monitor: Monitor) -> None:
    from dulwich.object_format import SHA1
    from dulwich.pack import PackChunkGenerator

    from envgit.transfer.pack_records import pack_records

    haves = [each.oid for each in selected.prerequisites]
    count, records = pack_records(ObjectStore(git_dir), selected.references.values(), haves)
    monitor.start("writing", None, "bytes")
    try:
        for chunk in PackChunkGenerator(num_records=count, records=records, object_format=SHA1):
            storage.write_all(fd, chunk, step="bundle-pack", path=path)
            monitor.advance(len(chunk))
    finally:
        monitor.finish()

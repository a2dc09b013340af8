"""Show one object: a commit with its changes, a tag, a file or a directory of a revision."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from envgit.diff import Diff, open_commit_diff
from envgit.log import LogEntry, make_entry, read_decorations
from envgit.model import Child, DirectoryRef, Entry, TreeReader
from envgit.repo import TAG_PREFIX, Repository
from envgit.snapshot import read_snapshot
from envgit.store.objects import Signature, parse_commit, parse_tag
from envgit.store.revisions import split_revision_path
from envgit.tree_path import find_child


class ShownCommit(NamedTuple):
    entry: LogEntry
    diff: Diff


class ShownTag(NamedTuple):
    name: str
    tag: str
    message: bytes
    tagger: Signature | None
    target: ShownCommit


class ShownFile(NamedTuple):
    path: bytes
    child: Child
    reader: TreeReader


class ShownDirectory(NamedTuple):
    path: bytes
    entries: tuple[Entry, ...]


Shown: TypeAlias = ShownCommit | ShownTag | ShownFile | ShownDirectory


def resolve_shown(repo: Repository, spec: str) -> Shown:
    """Return what `spec` names: a revision, a tag, or REV:PATH. Raises UnknownRevision, UnknownPath."""
    revision, path = split_revision_path(spec)
    if path is not None:
        return _show_path(repo, revision, path)
    tag_oid = repo.refs.resolve(TAG_PREFIX + spec)
    if tag_oid is not None and repo.refs.resolve("refs/heads/" + spec) is None:
        type, data = repo.objects.read(tag_oid)
        if type == "tag":
            tag = parse_tag(data)
            return ShownTag(spec, tag_oid.hex(), tag.message, tag.tagger, _show_commit(repo, repo.resolve_bytes(spec)))
    return _show_commit(repo, repo.resolve_bytes(spec))


def _show_commit(repo: Repository, oid: bytes) -> ShownCommit:
    commit = parse_commit(repo.objects.read(oid)[1])
    entry = make_entry(oid, commit, read_decorations(repo), repo.objects.shallow())
    return ShownCommit(entry, open_commit_diff(repo, oid, (), with_mtime=False))


def _show_path(repo: Repository, revision: str, path: bytes) -> ShownFile | ShownDirectory:
    root = read_snapshot(repo.objects, repo.resolve_bytes(revision)).root
    child = find_child(repo.reader, root, path)
    if isinstance(child.content, DirectoryRef):
        directory = repo.reader.read_directory(child.content)
        entries = tuple(
            repo.reader.read_directory(item.content).own._replace(name=name)
            if isinstance(item.content, DirectoryRef)
            else item.entry
            for name, item in directory.children.items()
        )
        return ShownDirectory(path, entries)
    return ShownFile(path, child, repo.reader)

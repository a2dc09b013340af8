"""Print a file of a revision or of the worktree."""

from __future__ import annotations

import os
from collections.abc import Iterator

from envgit.errors import UnknownPath
from envgit.model import DirectoryRef
from envgit.repo import Repository
from envgit.snapshot import read_snapshot
from envgit.store.revisions import split_revision_path
from envgit.tree_path import find_child


def iter_file(repo: Repository, spec: str) -> Iterator[bytes]:
    """Yield the bytes of `REV:PATH`, or of `PATH` as the worktree has it. Symbolic links are followed inside."""
    revision, path = split_revision_path(spec)
    if path is None:
        from envgit.status import open_worktree_tree

        path = os.fsencode(spec)
        root, reader = open_worktree_tree(repo)
    else:
        root, reader = read_snapshot(repo.objects, repo.resolve_bytes(revision)).root, repo.reader
    child = find_child(reader, root, path, follow=True)
    if isinstance(child.content, DirectoryRef):
        raise UnknownPath(f"{os.fsdecode(path)} is a directory", hint=f"envgit ls {spec}")
    if child.entry.type != "f":
        raise UnknownPath(f"{os.fsdecode(path)} is not a regular file", hint=f"envgit ls {spec}")
    yield from reader.iter_content(child)

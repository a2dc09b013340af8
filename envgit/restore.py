"""Restore: take paths of the worktree back to what a revision has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from envgit.capturing import Everything, capture_upper
from envgit.errors import UnknownPath, UnknownRevision
from envgit.exec.linux import sync_filesystem
from envgit.layers.compare import diff_trees
from envgit.layers.edit import edit_tree
from envgit.layers.materialise import materialise
from envgit.layers.memory_tree import MemoryTree
from envgit.layers.relinked import find_file, relink
from envgit.model import Change, DirectoryRef, Links
from envgit.repo import Repository
from envgit.snapshot import read_snapshot
from envgit.uppers import claim_worktree, create_upper, open_upper, upper_paths
from envgit.worktree import Pointer, worktree_name


class RestoreResult(NamedTuple):
    paths: tuple[bytes, ...]
    operation: int | None


def restore_paths(repo: Repository, paths: Sequence[bytes], source: str | None = None) -> RestoreResult:
    """Make `paths` (and all below them) in the worktree what `source` (HEAD) has; what it has not is removed.

    The new state is written into a fresh upper directory and the pointer moved: undo takes it back. Raises UnknownPath when
    a path is in neither, Conflict when a sandbox has the worktree mounted.
    """
    with repo.operation(
        ["restore", *(["--source", source] if source else []), *map(os.fsdecode, paths)]
    ) as transaction:
        head = repo.read_head()
        if head.oid is None:
            raise UnknownRevision(f"branch {repo.branch_name()} has no commits yet", hint="envgit import --from host")
        wanted = read_snapshot(repo.objects, repo.resolve_bytes(source) if source else head.oid).root
        pointer = repo.read_pointer(repo.branch_name(), head.oid) or Pointer(head.oid, None)
        claim_worktree(repo, transaction, pointer)
        repo.enter_tree_namespace()
        base = read_snapshot(repo.objects, pointer.base).root
        upper_fd = open_upper(upper_paths(repo, pointer.upper)) if pointer.upper is not None else -1
        try:
            memory = MemoryTree(repo.reader, upper_fd, hash_files=True)
            current = base
            if upper_fd >= 0:
                current = capture_upper(repo, upper_fd, base, memory, memory, Everything()).root
            changes = list(diff_trees(current, wanted, memory, paths=paths, with_mtime=True))
            if not changes:
                _check_known(paths, current, wanted, memory)
                return RestoreResult((), None)
            target = edit_tree(current, changes, memory, memory, _links(current, wanted, changes, memory))
            fresh = create_upper(repo)
            fresh_fd = open_upper(fresh)
            try:
                materialise(target, base, memory, fresh_fd, repo.disk_ids, monitor=repo.monitor)
                sync_filesystem(fresh_fd)  # what is uncommitted must not be lost for what is taken back
            finally:
                os.close(fresh_fd)
        finally:
            if upper_fd >= 0:
                os.close(upper_fd)
        transaction.set_worktree(worktree_name(repo.branch_name()), Pointer(pointer.base, fresh.id).format())
        done = transaction.finish("restore")
    return RestoreResult(tuple(change.path for change in changes), done.number)


def _links(current: DirectoryRef, wanted: DirectoryRef, changes: Sequence[Change], memory: MemoryTree) -> Links:
    """Return the hard-link sets of the worktree once the changes are made: what comes back is linked as it was."""
    old, new = memory.read_links(current), memory.read_links(wanted)
    if old == new:
        return old
    restored = {change.path for change in changes}
    partners = {path for names in new if not restored.isdisjoint(names) for path in names} - restored
    unchanged = set()
    for path in partners:
        there, back = find_file(memory, current, path), find_file(memory, wanted, path)
        if there is not None and back is not None and there.entry == back.entry:
            unchanged.add(path)
    return relink(old, new, restored, unchanged)


def _check_known(paths: Sequence[bytes], current: DirectoryRef, wanted: DirectoryRef, memory: MemoryTree) -> None:
    """Raise UnknownPath for a path that neither side has: the user mistyped it."""
    from envgit.tree_path import find_child

    for path in paths:
        if any(mark in path for mark in (b"*", b"?", b"[")):
            continue
        try:
            find_child(memory, current, path)
        except UnknownPath:
            find_child(memory, wanted, path)

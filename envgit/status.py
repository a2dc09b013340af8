"""Status: what the worktree has that HEAD does not. Reads the upper directory only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from envgit.capturing import capture_upper
from envgit.errors import StorageError
from envgit.layers.compare import diff_trees
from envgit.layers.memory_tree import MemoryTree
from envgit.layers.noise import classify_noise
from envgit.model import Change, DirectoryRef, Entry, TreeReader
from envgit.repo import Repository
from envgit.snapshot import read_snapshot
from envgit.uppers import has_changes, is_mounted, open_upper, upper_paths, wait_for_upper
from envgit.worktree import Pointer

_HANDOVERS_WAITED_FOR = 8


class NoiseGroup(NamedTuple):
    """Changes that merely using an environment makes, folded: how many, and one of them."""

    label: str
    paths: int
    example: bytes


class Status(NamedTuple):
    """`changes` are without noise; `base_differs`: the branch moved while the worktree stayed on another commit."""

    branch: str | None
    head: str | None
    changes: tuple[Change, ...]
    noise: tuple[NoiseGroup, ...]
    running: int
    base_differs: bool

    @property
    def is_dirty(self) -> bool:
        return bool(self.changes or self.noise)


class WorktreeTree(NamedTuple):
    """What the worktree looks like as a tree; `reader` reads both stored and uncommitted content."""

    root: DirectoryRef
    reader: TreeReader


def open_worktree_tree(repo: Repository) -> WorktreeTree:
    """Return the worktree's tree. The upper directory stays open for the rest of the process: content is read late.

    Readers take no lock, until they find that a commit is just making a layer of the upper directory: then they wait for it.
    """
    tries = _HANDOVERS_WAITED_FOR
    while True:
        pointer = repo.read_pointer(repo.branch_name(), repo.read_head().oid)
        if pointer is None:
            return WorktreeTree(empty_root(repo), MemoryTree(repo.reader, -1))
        try:
            return _open_tree(repo, pointer)
        except StorageError:
            tries -= 1
            if not tries or pointer.upper is None:
                raise
            wait_for_upper(upper_paths(repo, pointer.upper))


def _open_tree(repo: Repository, pointer: Pointer) -> WorktreeTree:
    base = read_snapshot(repo.objects, pointer.base).root
    if pointer.upper is None:
        return WorktreeTree(base, repo.reader)
    repo.enter_tree_namespace()
    upper_fd = open_upper(upper_paths(repo, pointer.upper))
    memory = MemoryTree(repo.reader, upper_fd)
    captured = capture_upper(repo, upper_fd, base, memory, memory)
    return WorktreeTree(captured.root, memory)


def empty_root(repo: Repository) -> DirectoryRef:
    """Return an empty tree held in memory: what an unborn branch has."""
    return MemoryTree(repo.reader, -1).put_directory(Entry(b".", "d", 0o755), ())


def is_dirty(repo: Repository, branch: str | None, tip: bytes | None) -> bool:
    """Say whether a branch (None: the detached HEAD) has uncommitted changes that status would show."""
    pointer = repo.read_pointer(branch, tip)
    if tip is None or pointer is None or not has_changes(repo, pointer, tip):
        return False
    tree = _open_tree(repo, pointer)
    tip_root = read_snapshot(repo.objects, tip).root
    return next(diff_trees(tip_root, tree.root, tree.reader), None) is not None


def read_status(repo: Repository, *, paths: Sequence[bytes] = (), with_mtime: bool = False) -> Status:
    """Compare the worktree with HEAD. Modification times alone are no change unless asked for."""
    head = repo.read_head()
    branch = repo.branch_name()
    pointer = repo.read_pointer(branch, head.oid)
    if head.oid is None or pointer is None:
        return Status(branch, None, (), (), 0, False)
    running = int(pointer.upper is not None and is_mounted(upper_paths(repo, pointer.upper)))
    differs = pointer.base != head.oid
    if not has_changes(repo, pointer, head.oid):
        return Status(branch, head.oid.hex(), (), (), running, False)
    worktree = open_worktree_tree(repo)
    head_root = read_snapshot(repo.objects, head.oid).root
    changes: list[Change] = []
    folded: dict[str, NoiseGroup] = {}
    for change in diff_trees(head_root, worktree.root, worktree.reader, paths=paths, with_mtime=with_mtime):
        label = classify_noise(change.path)
        if label is None:
            changes.append(change)
        else:
            known = folded.get(label)
            folded[label] = NoiseGroup(label, known.paths + 1 if known else 1, known.example if known else change.path)
    return Status(branch, head.oid.hex(), tuple(changes), tuple(folded.values()), running, differs)

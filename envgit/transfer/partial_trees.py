"""Cut one commit that is too large for a push into commits that hold growing parts of its tree.

The parts keep their paths, so a sending git recognises in the next part what the other side has got (also with pack.useSparse,
which compares trees path by path). All of it is a function of the commit and the sizes: a push that starts again makes the same
commits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from envgit.store.object_store import ObjectStore
from envgit.store.objects import MODE_TREE, Commit, TreeEntry, decode_tree, encode_commit, encode_tree, parse_commit
from envgit.store.pack_writer import PackSession


class UploadPart(NamedTuple):
    """A temporary commit, and how many bytes of objects it has more than the one before it."""

    commit: bytes
    bytes: int


class _Folder:
    """A tree on the way down: its name in the one above, what is still to be looked at, what the next part holds of it."""

    def __init__(self, name: bytes, oid: bytes, entries: Sequence[TreeEntry]) -> None:
        self.name = name
        self.oid = oid
        self.todo = list(reversed(entries))
        self.done: list[TreeEntry] = []


def write_parts(
    objects: ObjectStore, session: PackSession, oid: bytes, sizes: Mapping[bytes, int], budget: int
) -> tuple[UploadPart, ...]:
    """Put temporary commits for the commit `oid` into the session; the last one is its child and completes it.

    `sizes`: of every object that is new with the commit. Each part but the last adds about `budget` bytes and no more, unless one
    object alone is larger. The first stands on the parents of the commit, the last on the commit and the part before it.
    """
    commit = parse_commit(objects.read(oid)[1])
    cuts, rest = _cut(objects, session, commit.tree, sizes, budget)
    parts: list[UploadPart] = []
    parents = commit.parents
    for number, (tree, bytes) in enumerate(cuts, 1):
        text = b"envgit: part %d of a push of %b\n\nTemporary: the push removes this branch when it is done.\n"
        part = Commit(tree, parents, commit.committer, commit.committer, text % (number, oid.hex().encode()))
        parts.append(UploadPart(session.put("commit", encode_commit(part)), bytes))
        parents = (parts[-1].commit,)
    if not parts:
        return ()
    # Only the tree of a parent is known to be there (git's pack-objects marks the trees of edges): so the parts become one.
    text = b"envgit: all of a push of %b\n\nTemporary: the push removes this branch when it is done.\n"
    whole = Commit(commit.tree, (oid, *parents), commit.committer, commit.committer, text % oid.hex().encode())
    return (*parts, UploadPart(session.put("commit", encode_commit(whole)), rest))


def _cut(
    objects: ObjectStore, session: PackSession, top: bytes, sizes: Mapping[bytes, int], budget: int
) -> tuple[list[tuple[bytes, int]], int]:
    """Walk in git's order, and write a tree of all that was passed whenever `budget` bytes of new objects were."""
    cuts: list[tuple[bytes, int]] = []
    passed: set[bytes] = set()
    pending = 0
    stack = [_open(objects, b"", top)]
    while stack:
        folder = stack[-1]
        if not folder.todo:
            stack.pop()
            passed.add(folder.oid)
            pending += sizes.get(folder.oid, 0)
            if stack:
                stack[-1].done.append((MODE_TREE, folder.name, folder.oid))
            continue
        mode, name, oid = folder.todo.pop()
        if mode == MODE_TREE and _is_new(oid, sizes, passed):
            stack.append(_open(objects, name, oid))
            continue
        if _is_new(oid, sizes, passed):
            if pending and pending + sizes[oid] > budget:
                tree = _write(session, stack)
                if tree is not None:
                    cuts.append((tree, pending))
                    pending = 0
            passed.add(oid)
            pending += sizes[oid]
        folder.done.append((mode, name, oid))
    return cuts, pending


def _is_new(oid: bytes, sizes: Mapping[bytes, int], passed: Collection[bytes]) -> bool:
    return oid in sizes and oid not in passed


def _open(objects: ObjectStore, name: bytes, oid: bytes) -> _Folder:
    return _Folder(name, oid, decode_tree(objects.read(oid)[1]))


def _write(session: PackSession, stack: Sequence[_Folder]) -> bytes | None:
    """Write the trees above the place that was reached; empty ones are left out."""
    below: TreeEntry | None = None
    for depth in range(len(stack) - 1, -1, -1):
        entries = stack[depth].done if below is None else [*stack[depth].done, below]
        below = None
        if entries:
            below = (MODE_TREE, stack[depth].name, session.put("tree", encode_tree(entries)))
    return None if below is None else below[2]

"""Undo: put refs, HEAD and worktree pointers back to what they were before an operation."""

from __future__ import annotations

from typing import NamedTuple

from envgit.errors import Conflict, NegativeAnswer, UnknownRevision
from envgit.repo import Repository, hex_or_none
from envgit.store.operations import Operation, read_operation
from envgit.transaction import KEPT_PREFIX
from envgit.worktree import parse_pointer


class UndoResult(NamedTuple):
    undone: int
    command: str
    refs: tuple[tuple[str, str | None, str | None], ...]
    head: str
    operation: int


def undo(repo: Repository, operation: int | None = None) -> UndoResult:
    """Reverse one operation (the last one by default) as a new operation; undoing an undo redoes.

    Raises NegativeAnswer when there is nothing to undo, Conflict when a later operation moved the same names.
    """
    with repo.operation(["undo"] if operation is None else ["undo", str(operation)]) as transaction:
        target = read_operation(repo.git_dir, operation)
        if target is None and operation is None:
            raise NegativeAnswer("nothing to undo: no operation has been recorded yet")
        if target is None:
            raise UnknownRevision(f"there is no operation {operation}", hint="envgit op log lists them")
        _check_unmoved(repo, target)
        for name, old, _ in target.refs:
            transaction.set_ref(name, old)
        if target.head is not None:
            transaction.set_head(target.head[0])
        for name, old_word, new_word in target.worktrees:
            transaction.set_worktree(name, _restored_pointer(repo, name, old_word, new_word))
        done = transaction.finish(f"undo: {' '.join(target.command)}")
    return UndoResult(
        undone=target.number,
        command=" ".join(target.command),
        refs=tuple(
            (name, hex_or_none(new), hex_or_none(old))
            for name, old, new in target.refs
            if not name.startswith(KEPT_PREFIX)
        ),
        head=repo.branch_name() or repo.head_oid() or "",
        operation=done.number,
    )


def _check_unmoved(repo: Repository, target: Operation) -> None:
    moved = [name for name, _, new in target.refs if repo.refs.resolve(name) != new]
    if moved:
        raise Conflict(
            f"cannot undo operation {target.number}: {', '.join(moved)} moved since",
            hint="undo the later operations first (envgit op log lists them)",
        )


def _restored_pointer(repo: Repository, name: str, old_word: str | None, new_word: str | None) -> str | None:
    """Return the pointer to put back.

    A commit moves the base and keeps the upper directory, whose content may have become a layer: its pointer stays, and
    what was recorded shows up as uncommitted changes again.
    """
    old = parse_pointer(old_word) if old_word else None
    new = parse_pointer(new_word) if new_word else None
    if old is not None and new is not None and old.upper == new.upper:
        return repo.read_pointer_word(name) or new_word
    return old_word

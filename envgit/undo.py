"""Undo: put refs, HEAD and worktree pointers back to what they were before an operation."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from envgit.errors import Conflict, NegativeAnswer, StorageError, UnknownRevision
from envgit.forwarding import carry_over
from envgit.repo import BRANCH_PREFIX, Repository, hex_or_none
from envgit.status import is_dirty
from envgit.store.operations import Operation, iter_operations, read_operation
from envgit.transaction import KEPT_PREFIX, Transaction
from envgit.uppers import claim_worktree
from envgit.worktree import branch_of_worktree, parse_pointer, worktree_name


class UndoResult(NamedTuple):
    undone: int
    command: str
    refs: tuple[tuple[str, str | None, str | None], ...]
    head: str
    operation: int


def undo(repo: Repository, operation: int | None = None) -> UndoResult:
    """Reverse one operation (the last one but gc by default) as a new operation; undoing an undo redoes.

    Raises NegativeAnswer when there is nothing to undo, Conflict when a later operation moved the same names, when gc dropped
    what it would bring back, and when a sandbox is running in a worktree that would change.
    """
    with repo.operation(["undo"] if operation is None else ["undo", str(operation)]) as transaction:
        target = _last(repo) if operation is None else read_operation(repo.git_dir, operation)
        if target is None and operation is None:
            raise NegativeAnswer("nothing to undo: no operation has been recorded yet")
        if target is None:
            raise UnknownRevision(f"there is no operation {operation}", hint="envgit op log lists them")
        _check_unmoved(repo, target)
        _check_present(repo, target)
        for name, old, _ in target.refs:
            transaction.set_ref(name, old)
        if target.head is not None:
            transaction.set_head(target.head[0])
        pointers = _restored_pointers(repo, target)
        _set_aside(repo, transaction, pointers)
        for name, word in pointers.items():
            transaction.set_worktree(name, word)
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


def _last(repo: Repository) -> Operation | None:
    """Return the last operation that has something to take back: gc only forgets what nothing but undo could reach."""
    return next((found for found in iter_operations(repo.git_dir) if not _is_gc(found)), None)


def _is_gc(operation: Operation) -> bool:
    moves = operation.head is not None or bool(operation.worktrees)
    return not moves and all(name.startswith(KEPT_PREFIX) for name, _, _ in operation.refs)


def _check_present(repo: Repository, target: Operation) -> None:
    values = [old for _, old, _ in target.refs if old is not None]
    if target.head is not None and not target.head[0].startswith("refs/"):
        values.append(bytes.fromhex(target.head[0]))
    gone = [oid.hex() for oid in values if not repo.objects.contains(oid)]
    if gone:
        raise Conflict(
            f"cannot undo operation {target.number}: {gone[0][:12]} is not in the repository any more",
            hint="gc dropped it; envgit op log lists what can be undone",
        )


def _check_unmoved(repo: Repository, target: Operation) -> None:
    moved = [name for name, _, new in target.refs if repo.refs.resolve(name) != new]
    if moved:
        raise Conflict(
            f"cannot undo operation {target.number}: {', '.join(moved)} moved since",
            hint="undo the later operations first (envgit op log lists them)",
        )


def _restored_pointers(repo: Repository, target: Operation) -> dict[str, str | None]:
    """Return the pointers to put back, by worktree; a branch that goes loses its own.

    A commit moves the base and keeps the upper directory, whose content may have become a layer: its pointer stays, and
    what was recorded shows up as uncommitted changes again. A pull moves the base only: it goes back, and the uncommitted
    changes with it; Conflict when they have met since what was pulled.
    """
    restored: dict[str, str | None] = {
        worktree_name(ref.removeprefix(BRANCH_PREFIX)): None
        for ref, old, _ in target.refs
        if old is None and ref.startswith(BRANCH_PREFIX)
    }
    for name, old_word, new_word in target.worktrees:
        restored[name] = old_word
        if old_word and new_word and parse_pointer(old_word).upper == parse_pointer(new_word).upper:
            restored[name] = repo.read_pointer_word(name) or new_word
    if _origin(repo, target).command[:1] != ("pull",):
        return restored
    for ref, old, new in target.refs:
        name = worktree_name(ref.removeprefix(BRANCH_PREFIX))
        word = repo.read_pointer_word(name)
        if not ref.startswith(BRANCH_PREFIX) or old is None or new is None or not word:
            continue
        if restored.get(name, word) == word and parse_pointer(word).base == new:
            says = "uncommitted changes touch what would be taken back"
            moved = carry_over(repo, parse_pointer(word), new, old, says)
            restored[name] = moved.format() if moved else None
    return restored


def _origin(repo: Repository, operation: Operation) -> Operation:
    """Return what an undo, or an undo of an undo, was about in the end."""
    while operation.command[:1] == ("undo",):
        found = None
        if operation.command[1:]:
            found = read_operation(repo.git_dir, int(operation.command[1]))
        else:
            earlier = (each for each in iter_operations(repo.git_dir) if each.number < operation.number)
            found = next((each for each in earlier if not _is_gc(each)), None)
        if found is None or found.number >= operation.number:
            break
        operation = found
    return operation


def _set_aside(repo: Repository, transaction: Transaction, restored: dict[str, str | None]) -> None:
    """Say which uncommitted changes the new pointers leave behind; Conflict when a sandbox is making some."""
    kept = {parse_pointer(word).upper for word in restored.values() if word}
    for name in restored:
        word = repo.read_pointer_word(name)
        current = parse_pointer(word) if word else None
        if current is None or current.upper is None or current.upper in kept:
            continue
        claim_worktree(repo, transaction, current)
        branch = branch_of_worktree(name)
        with suppress(StorageError):  # a damaged upper directory has nothing to bring back
            if is_dirty(repo, branch, current.base):
                who = branch or "the detached HEAD"
                repo.monitor.warn(f"the uncommitted changes of {who} are set aside; envgit undo brings them back")

"""What envgit's verbs mean, in a hundred lines without a disk: the model that the real thing is walked beside."""

from __future__ import annotations

from typing import NamedTuple

Tree = dict[str, bytes]


class Commit(NamedTuple):
    tree: Tree
    parent: Commit | None


class Upper:
    """Uncommitted changes: one mutable place, seen as the whole tree that it shows."""

    def __init__(self, tree: Tree) -> None:
        self.tree = dict(tree)


class Pointer(NamedTuple):
    base: Commit
    upper: Upper | None


class Operation(NamedTuple):
    """What one command moved: (old, new) of HEAD, and of each name of a branch or worktree."""

    head: tuple[str, str]
    branches: dict[str, tuple[Commit | None, Commit | None]]
    pointers: dict[str, tuple[Pointer | None, Pointer | None]]


class Refused(Exception):
    """The command must fail and change nothing."""


class Model:
    def __init__(self, tree: Tree) -> None:
        self.head = "main"
        self.branches = {"main": Commit(tree, None)}
        self.pointers: dict[str, Pointer] = {}
        self.operations: list[Operation] = []

    @property
    def tip(self) -> Commit:
        return self.branches[self.head]

    @property
    def pointer(self) -> Pointer:
        return self.pointers.get(self.head) or Pointer(self.tip, None)

    @property
    def tree(self) -> Tree:
        """What the worktree shows."""
        pointer = self.pointer
        return pointer.base.tree if pointer.upper is None else pointer.upper.tree

    @property
    def is_dirty(self) -> bool:
        return self.tree != self.tip.tree

    def edit(self, changes: dict[str, bytes | None]) -> None:
        """A run, which is no operation: the first one makes the upper directory."""
        pointer = self.pointer
        if pointer.upper is None:
            pointer = Pointer(pointer.base, Upper(pointer.base.tree))
            self.pointers[self.head] = pointer
        assert pointer.upper is not None
        for path, data in changes.items():
            if data is None:
                pointer.upper.tree.pop(path, None)
            else:
                pointer.upper.tree[path] = data

    def commit(self) -> None:
        if not self.is_dirty:
            raise Refused
        pointer = self.pointer
        new = Commit(dict(self.tree), self.tip)
        moved = None if pointer.upper is None else Pointer(new, pointer.upper)
        self._do(branches={self.head: new}, pointers={self.head: moved})

    def branch(self, name: str) -> None:
        if name in self.branches:
            raise Refused
        self._do(branches={name: self.tip})

    def delete(self, name: str) -> None:
        if name == self.head or name not in self.branches:
            raise Refused
        self._do(branches={name: None}, pointers={name: None})

    def checkout(self, name: str) -> None:
        if name not in self.branches:
            raise Refused
        self._do(head=name)

    def checkout_new(self, name: str) -> None:
        """The new branch takes the uncommitted changes along; the old one is clean."""
        if name in self.branches:
            raise Refused
        carried = self.pointers.get(self.head)
        pointers = {name: carried, self.head: None}
        if carried is None or (carried.base is self.tip and carried.upper is None):
            pointers = {name: None}
        self._do(head=name, branches={name: self.tip}, pointers=pointers)

    def reset(self, hard: bool) -> None:
        """To HEAD~1."""
        target = self.tip.parent
        if target is None:
            raise Refused
        pointer = None if hard or self.pointer == Pointer(target, None) else self.pointer
        self._do(branches={self.head: target}, pointers={self.head: pointer})

    def restore(self, path: str) -> None:
        if path not in self.tree and path not in self.tip.tree:
            raise Refused
        if self.tree.get(path) == self.tip.tree.get(path):
            return
        fresh = Upper(self.tree)
        if path in self.tip.tree:
            fresh.tree[path] = self.tip.tree[path]
        else:
            del fresh.tree[path]
        self._do(pointers={self.head: Pointer(self.pointer.base, fresh)})

    def undo(self) -> None:
        if not self.operations:
            raise Refused
        last = self.operations[-1]
        pointers: dict[str, Pointer | None] = {}
        for name, (old, new) in last.pointers.items():
            same_place = old is not None and new is not None and old.upper is new.upper
            pointers[name] = self.pointers.get(name, new) if same_place else old
        branches = {name: old for name, (old, _) in last.branches.items()}
        self._do(head=last.head[0], branches=branches, pointers=pointers)

    def _do(
        self,
        head: str | None = None,
        branches: dict[str, Commit | None] | None = None,
        pointers: dict[str, Pointer | None] | None = None,
    ) -> None:
        head = head or self.head
        moved = {name: (self.branches.get(name), new) for name, new in (branches or {}).items()}
        pointed = {name: (self.pointers.get(name), new) for name, new in (pointers or {}).items()}
        operation = Operation(
            (self.head, head),
            {name: both for name, both in moved.items() if both[0] is not both[1]},
            {name: both for name, both in pointed.items() if both[0] != both[1]},
        )
        if self.head == head and not operation.branches and not operation.pointers:
            return
        self.operations.append(operation)
        self.head = head
        for name, (_, commit) in moved.items():
            self.branches.pop(name, None)
            if commit is not None:
                self.branches[name] = commit
        for name, (_, pointer) in pointed.items():
            self.pointers.pop(name, None)
            if pointer is not None:
                self.pointers[name] = pointer

"""A change of refs, HEAD and worktree pointers: all of it or nothing, whatever happens in between.

The order is the promise (docs/format.md section 7): objects are durable before finish() is called; then the
intent is written aside, git's locks are taken and the old values compared, the operation file appears (the commit
point), refs and pointers move, reflogs are written. A command killed before the commit point did nothing; one killed after it is
completed by the next command.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType

from envgit.errors import CorruptObject, EnvgitError, InvalidName, StorageError
from envgit.store import operations, storage
from envgit.store.history import is_ancestor_within
from envgit.store.lock import WAIT_SECONDS, RepositoryLock
from envgit.store.object_store import ObjectStore
from envgit.store.objects import Signature
from envgit.store.operations import Operation, escape_word
from envgit.store.pointers import read_pointer, write_pointer
from envgit.store.recovery import recover, release_locks, take_locks, write_reflogs
from envgit.store.refs import Head, RefStore, check_ref_name

KEPT_PREFIX = "refs/envgit/kept/"
_ANCESTORS_LOOKED_AT = 512


class Transaction:
    """The repository's one writer while it is entered. Old values are read under the lock, at the first set_... call.

    `committer()` gives the identity and time for reflogs and the operation; it is called by finish() at most once.
    """

    def __init__(
        self,
        objects: ObjectStore,
        refs: RefStore,
        command: Sequence[str],
        *,
        committer: Callable[[], Signature] | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        self._objects = objects
        self._refs = refs
        self._git_dir = refs.git_dir
        self._command = tuple(command)
        self._committer = committer or (lambda: Signature(b"envgit", b"", int(time.time())))
        self._wait_seconds = wait_seconds
        self._lock = RepositoryLock(refs.git_dir + "/lock")
        self._ref_changes: dict[str, tuple[bytes | None, bytes | None]] = {}
        self._worktree_changes: dict[str, tuple[str | None, str | None]] = {}
        self._head: str | None = None
        self._held: list[int] = []
        self.recovered: Operation | None = None
        """The operation of a killed command that entering this transaction completed."""

    def __enter__(self) -> Transaction:
        """Take the lock and recover. Raises RepositoryBusy, StorageError."""
        self._lock.acquire(b" ".join(map(escape_word, ("envgit", *self._command))), self._wait_seconds)
        try:
            self.recovered = recover(self._refs)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._held:
            os.close(self._held.pop())
        self._lock.release()

    def hold(self, fd: int) -> None:
        """Keep a descriptor, of a lock that must outlast finish(), open until the transaction ends."""
        self._held.append(fd)

    def set_ref(self, name: str, new: bytes | None, *, based_on: bytes | None = None) -> None:
        """Plan to move a ref (full name) to an object, or with None to delete it. Raises InvalidName.

        `based_on`: the value that `new` was made from; finish() raises RefMoved when stock git moved the ref since.
        """
        assert self._lock.held
        check_ref_name(name)
        old = self._ref_changes[name][0] if name in self._ref_changes else based_on or self._refs.resolve(name)
        self._ref_changes[name] = (old, new)

    def set_head(self, target: str) -> None:
        """Plan to point HEAD at a branch (full name, may be unborn) or at a commit (40 hex digits)."""
        assert self._lock.held
        if target.startswith("refs/"):
            check_ref_name(target)
            if not target.startswith("refs/heads/"):
                raise InvalidName(f"HEAD cannot be {target}: it is no branch")
        elif len(bytes.fromhex(target)) != 20:
            raise InvalidName(f"{target!r} is neither a branch nor a commit")
        self._head = target

    def set_worktree(self, name: str, new: str | None) -> None:
        """Plan to set the pointer of a worktree (name of its folder) to a word, or with None to remove it."""
        assert self._lock.held
        if not name or "/" in name or name in (".", "..") or new in ("", "-"):
            raise InvalidName(f"{name!r} cannot be the name of a worktree")
        old = self._worktree_changes[name][0] if name in self._worktree_changes else read_pointer(self._git_dir, name)
        self._worktree_changes[name] = (old, new)

    def finish(self, reflog_message: str) -> Operation:
        """Carry everything out and return the operation; its number is 0 when nothing had to change.

        Raises RefMoved or Conflict (nothing was changed), RepositoryBusy, StorageError. After a StorageError the
        operation either did not happen or is completed by the next command; it is never half done for good.
        """
        assert self._lock.held
        who = self._committer()
        old_head = self._refs.read_head()
        operation = self._plan(who, old_head)
        if operation.is_empty:
            return operation
        self._check_names(operation)
        pending = operations.prepare_operation(self._git_dir, operation)
        try:
            locks = take_locks(self._refs, operation)
            try:
                operations.commit_operation(self._git_dir, operation, pending)
                for held in locks:
                    held.commit()
            finally:
                release_locks(locks)
            for name, _, new in operation.worktrees:
                write_pointer(self._git_dir, name, new)
        except StorageError as error:  # the intent stays: it tells recovery which locks are ours
            if operation.number not in operations.list_numbers(self._git_dir):
                raise
            message = f"{error.message}; the change is recorded, the next command completes it"
            raise StorageError(message, hint=error.hint) from error
        except EnvgitError:
            storage.discard(pending)
            raise
        with suppress(StorageError):  # it is done; the next command writes what is missing
            write_reflogs(self._refs, operation, who, os.fsencode(reflog_message), old_head.oid)
            operations.mark_finished(self._git_dir, operation.number)
        self._ref_changes, self._worktree_changes, self._head = {}, {}, None
        self._tidy()
        return operation

    def _plan(self, who: Signature, old_head: Head) -> Operation:
        """Return the operation, with refs that keep commits which nothing would reach any more."""
        head = None
        if self._head is not None:
            before = old_head.symbolic or (old_head.oid.hex() if old_head.oid else "")
            head = (before, self._head)
        changes = dict(self._ref_changes)
        for oid in self._abandoned(old_head):
            name = KEPT_PREFIX + oid.hex()
            old = changes[name][0] if name in changes else self._refs.resolve(name)
            changes[name] = (old, oid)
        number = (operations.list_numbers(self._git_dir) or [0])[-1] + 1
        operation = operations.make_operation(
            number,
            (int(time.time()), who.offset.decode()),  # not the committer date, which may be any: gc goes by it
            self._command,
            head,
            [(name, old, new) for name, (old, new) in changes.items()],
            [(name, old, new) for name, (old, new) in self._worktree_changes.items()],
        )
        return operations.make_operation(0, (0, ""), (), None, (), ()) if operation.is_empty else operation

    def _abandoned(self, old_head: Head) -> list[bytes]:
        """Return the old values that no new value (nor HEAD) contains; in doubt a value is in the list."""
        moves = [
            (old, new)
            for name, (old, new) in self._ref_changes.items()
            if old is not None and old != new and not name.startswith("refs/envgit/")
        ]
        if self._head is not None and old_head.symbolic is None and old_head.oid is not None:
            moves.append((old_head.oid, self._new_head_oid(self._head)))
        survivors = {new for _, new in self._ref_changes.values() if new is not None}
        head_oid = self._new_head_oid(self._head) if self._head is not None else self._new_value(old_head)
        abandoned: list[bytes] = []
        for old, new in dict.fromkeys(moves):
            if old in survivors or old in abandoned:
                continue
            places = [oid for oid in (new, head_oid) if oid is not None]
            if not any(self._contains(oid, old) for oid in dict.fromkeys(places)):
                abandoned.append(old)
        return abandoned

    def _new_head_oid(self, target: str) -> bytes | None:
        if not target.startswith("refs/"):
            return bytes.fromhex(target)
        return self._ref_changes[target][1] if target in self._ref_changes else self._refs.resolve(target)

    def _new_value(self, head: Head) -> bytes | None:
        if head.symbolic is not None and head.symbolic in self._ref_changes:
            return self._ref_changes[head.symbolic][1]
        return head.oid

    def _contains(self, descendant: bytes, ancestor: bytes) -> bool:
        try:
            return is_ancestor_within(self._objects, ancestor, descendant, _ANCESTORS_LOOKED_AT)
        except CorruptObject:
            return False

    def _check_names(self, operation: Operation) -> None:
        deleted = frozenset(name for name, _, new in operation.refs if new is None)
        created = [name for name, old, new in operation.refs if old is None and new is not None]
        for name in created:
            self._refs.check_available(name, deleted)
            for other in created:
                if other.startswith(name + "/"):
                    raise InvalidName(f"cannot create both {name} and {other}")

    def _tidy(self) -> None:
        """Merge small packs when there are many; the operation is acknowledged already, so it cannot fail here."""
        from envgit.store.consolidate import consolidate, is_due

        with suppress(EnvgitError):
            if is_due(self._objects.objects_dir):
                consolidate(self._objects.objects_dir)

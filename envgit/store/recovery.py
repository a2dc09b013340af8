"""Put an operation's values in place, and bring a repository back to one after a crash.

Called under the repository's lock. Both directions are idempotent: killed in recovery, recovery starts again.
"""

from __future__ import annotations

import os

from envgit.errors import CorruptObject, RefMoved
from envgit.store import operations, storage
from envgit.store.finished import read_finished
from envgit.store.objects import ZERO_OID, Signature
from envgit.store.operations import Operation
from envgit.store.pack_writer import remove_leftovers
from envgit.store.pointers import read_pointer, write_pointer
from envgit.store.reflog import ReflogEntry, append_entry, is_logged, last_new
from envgit.store.refs import DELETION, RefLock, RefStore, head_content
from envgit.store.shallow import recover_shallow

_RECOVERY_NAME = b"envgit"


def head_target(value: str) -> str | bytes:
    """Return an operation's HEAD value as RefStore takes it: a full name, or an oid of 20 bytes."""
    return value if value.startswith("refs/") else bytes.fromhex(value)


def take_locks(refs: RefStore, operation: Operation) -> list[RefLock]:
    """Take git's lock of everything an operation moves, values checked; deletions first. All or none."""
    locks: list[RefLock] = []
    created = [name for name, _, new in operation.refs if new is not None]
    try:
        for name, old, new in sorted(operation.refs, key=lambda change: (change[2] is not None, change[0])):
            locks.append(refs.lock(name, new, old))
            if new is None and any(other.startswith(name + "/") for other in created):
                refs.make_way(name)
        if operation.head is not None:
            locks.append(refs.lock_head(head_target(operation.head[1]), head_target(operation.head[0])))
    except BaseException:
        release_locks(locks)
        raise
    return locks


def release_locks(locks: list[RefLock]) -> None:
    """Release what was not committed."""
    for held in locks:
        held.release()


def write_reflogs(refs: RefStore, operation: Operation, who: Signature, message: bytes, old_head: bytes | None) -> None:
    """Append to the reflogs what an operation moved, as git does: HEAD's own too when its branch moved."""
    git_dir = refs.git_dir
    for name, old, new in operation.refs:
        if new is not None and is_logged(name):
            append_entry(git_dir, name, ReflogEntry(old or ZERO_OID, new, who, message))
    head = refs.read_head()
    if head.oid is not None and (
        (operation.head is not None) or any(name == head.symbolic for name, _, _ in operation.refs)
    ):
        append_entry(git_dir, "HEAD", ReflogEntry(old_head or ZERO_OID, head.oid, who, message))


def recover(refs: RefStore) -> Operation | None:
    """Finish or drop what a killed command left; returns the operation that was finished, if any.

    Removes lock files that hold what the killed command wrote (never another's), temporary packs and files of dead
    processes, and an operation without valid end. Costs two directory listings when there is nothing to do.
    """
    git_dir = refs.git_dir
    remove_leftovers(refs.git_dir + "/objects")
    last = (operations.list_numbers(git_dir) or [0])[-1]
    for path, pending in operations.iter_pending(git_dir):
        if pending is not None:
            _remove_locks(refs, pending)
        storage.unlink(path, step="recover-pending")
    for name in os.listdir(git_dir):
        if name.startswith("tmp_"):
            storage.unlink(f"{git_dir}/{name}", step="recover-temporary")
        elif name.startswith("shallow."):
            recover_shallow(git_dir)
    if not last or read_finished(git_dir) == last:
        return None
    try:
        operation = operations.read_operation(git_dir, last)
    except CorruptObject:
        operations.drop_operation(git_dir, last)
        return recover(refs)
    assert operation is not None
    _remove_locks(refs, operation)
    _redo(refs, operation)
    operations.mark_finished(git_dir, last)
    return operation


def _remove_locks(refs: RefStore, operation: Operation) -> None:
    for name, _, new in operation.refs:
        refs.remove_stale_lock(name, DELETION if new is None else new.hex().encode() + b"\n")
    refs.remove_stale_lock("packed-refs", DELETION)
    if operation.head is not None:
        refs.remove_stale_lock("HEAD", head_content(head_target(operation.head[1])))


def _redo(refs: RefStore, operation: Operation) -> None:
    """Move what is still at `old`; what is elsewhere was moved by stock git since and stays."""
    git_dir = refs.git_dir
    who = Signature(_RECOVERY_NAME, b"", operation.seconds, operation.offset.encode())
    message = os.fsencode(" ".join(operation.command))
    for name, old, new in sorted(operation.refs, key=lambda change: (change[2] is not None, change[0])):
        current = refs.resolve(name)
        if current is None is new:
            refs.remove_reflog(name)
        if current == old:
            try:
                refs.update(name, new, old)
            except RefMoved:
                continue
            current = new
        if current is None and new is None:
            refs.forget(name)
        if current == new is not None and is_logged(name) and last_new(git_dir, name) != new:
            append_entry(git_dir, name, ReflogEntry(old or ZERO_OID, new, who, message))
    if operation.head is not None:
        old_head, new_head = map(head_target, operation.head)
        head = refs.read_head()
        if (head.symbolic or head.oid) == old_head:
            held = refs.lock_head(new_head, old_head)
            try:
                held.commit()
            finally:
                held.release()
    head = refs.read_head()
    last = last_new(git_dir, "HEAD")
    if head.oid is not None and last != head.oid:
        append_entry(git_dir, "HEAD", ReflogEntry(last, head.oid, who, message))
    for name, before, after in operation.worktrees:
        if read_pointer(git_dir, name) == before:
            write_pointer(git_dir, name, after)

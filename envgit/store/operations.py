"""The operation log (docs/format.md section 7): one file per command that moved refs, HEAD or a worktree's pointer."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from envgit.errors import CorruptObject
from envgit.store import storage
from envgit.store.finished import FINISHED
from envgit.store.oid import ZERO_OID, parse_oid

RefChange = tuple[str, bytes | None, bytes | None]
"""(full name, old oid, new oid); None: absent."""
WorktreeChange = tuple[str, str | None, str | None]
"""(name of the folder below checkouts/, old pointer, new pointer): words of the file `base`; None: absent."""

_FIRST_LINE = b"envgit-operation 1"
_PLAIN = re.compile(rb"[^!-\x5b\x5d-\x7e]")
_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
_NUMBER = re.compile(r"[0-9]{8,}\Z")
_PENDING = "tmp_operation"


@dataclass(frozen=True, slots=True)
class Operation:
    """What one command changed. `head`: (old, new), each `refs/heads/x` or 40 hex digits; None: not moved."""

    number: int
    seconds: int
    offset: str
    command: tuple[str, ...]
    head: tuple[str, str] | None = None
    refs: tuple[RefChange, ...] = ()
    worktrees: tuple[WorktreeChange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return self.head is None and not self.refs and not self.worktrees


def escape_word(word: str) -> bytes:
    """Write the bytes of a word that are not printable ASCII, and the backslash, as three octal digits."""
    return _PLAIN.sub(lambda match: b"\\%03o" % match[0][0], os.fsencode(word))


def unescape_word(text: bytes) -> str:
    """Undo escape_word; raises ValueError when `text` is not one of its results."""
    word = os.fsdecode(_ESCAPE.sub(lambda match: bytes((int(match[1], 8),)), text))
    if escape_word(word) != text:
        raise ValueError
    return word


def _head_word(value: str) -> bytes:
    return b"ref:" + escape_word(value) if value.startswith("refs/") else value.encode("ascii")


def _parse_head(word: bytes) -> str:
    return unescape_word(word[4:]) if word.startswith(b"ref:") else parse_oid(word.decode("ascii")).hex()


def _parse_ref_value(word: bytes) -> bytes | None:
    oid = parse_oid(word.decode("ascii"))
    return None if oid == ZERO_OID else oid


def format_operation(operation: Operation) -> bytes:
    """Return the file's bytes."""
    lines = [_FIRST_LINE, b"time %d %b" % (operation.seconds, operation.offset.encode("ascii"))]
    lines.append(b" ".join([b"command", *map(escape_word, operation.command)]))
    if operation.head is not None:
        lines.append(b"head %b %b" % (_head_word(operation.head[0]), _head_word(operation.head[1])))
    for name, old, new in operation.refs:
        values = (old or ZERO_OID).hex(), (new or ZERO_OID).hex()
        lines.append(b"ref %b %b %b" % (escape_word(name), values[0].encode(), values[1].encode()))
    for name, before, after in operation.worktrees:
        words = [b"-" if word is None else escape_word(word) for word in (before, after)]
        lines.append(b"worktree %b %b %b" % (escape_word(name), *words))
    body = b"\n".join(lines) + b"\n"
    return body + b"end " + sha256(body).hexdigest().encode() + b"\n"


def parse_operation(number: int, data: bytes) -> Operation:
    """Parse an operation file; raises CorruptObject unless its `end` line is there and matches."""
    body, found, end = data.rpartition(b"end ")
    if not found or end != sha256(body).hexdigest().encode() + b"\n":
        raise CorruptObject(f"operation {number} is damaged")
    seconds, offset = 0, "+0000"
    command: tuple[str, ...] = ()
    head: tuple[str, str] | None = None
    refs: list[RefChange] = []
    worktrees: list[WorktreeChange] = []
    try:
        first, *lines = body[:-1].split(b"\n")
        if first != _FIRST_LINE:
            raise ValueError
        for line in lines:
            key, *words = line.split(b" ")
            match key, words:
                case b"time", [when, zone]:
                    seconds, offset = int(when), zone.decode("ascii")
                case b"command", _:
                    command = tuple(map(unescape_word, words))
                case b"head", [old, new]:
                    head = _parse_head(old), _parse_head(new)
                case b"ref", [name, old, new]:
                    refs.append((unescape_word(name), _parse_ref_value(old), _parse_ref_value(new)))
                case b"worktree", [name, old, new]:
                    old_word, new_word = (None if word == b"-" else unescape_word(word) for word in (old, new))
                    worktrees.append((unescape_word(name), old_word, new_word))
                case _:
                    raise ValueError
    except Exception as error:
        raise CorruptObject(f"operation {number} is malformed", hint="it may be of a newer envgit") from error
    return Operation(number, seconds, offset, command, head, tuple(refs), tuple(worktrees))


def _folder(git_dir: str) -> str:
    return git_dir + "/operations"


def _path(git_dir: str, number: int) -> str:
    return f"{git_dir}/operations/{number:08d}"


def list_numbers(git_dir: str) -> list[int]:
    """Return the numbers of the recorded operations in order."""
    try:
        names = os.listdir(_folder(git_dir))
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if _NUMBER.match(name))


def read_operation(git_dir: str, number: int | None = None) -> Operation | None:
    """Return one operation (None: the last); None when there is no such one. Raises CorruptObject."""
    if number is None:
        numbers = list_numbers(git_dir)
        if not numbers:
            return None
        number = numbers[-1]
    try:
        with open(_path(git_dir, number), "rb") as file:
            return parse_operation(number, file.read())
    except FileNotFoundError:
        return None


def iter_operations(git_dir: str) -> Iterator[Operation]:
    """Yield the operations, newest first. Raises CorruptObject at a damaged one."""
    for number in reversed(list_numbers(git_dir)):
        operation = read_operation(git_dir, number)
        if operation is not None:
            yield operation


def prepare_operation(git_dir: str, operation: Operation) -> str:
    """Write an operation aside, durably, and return the file's path: its intent, read by recovery to find locks."""
    if not os.path.isdir(_folder(git_dir)):  # the repository is a bare clone
        storage.make_directory(_folder(git_dir), step="operation-folder", durable=True)
    path = storage.temporary_name(_folder(git_dir), f"{_PENDING}_{operation.number}_")
    fd = storage.open_new(path, step="operation-create")
    try:
        storage.write_all(fd, format_operation(operation), step="operation-write", path=path)
        storage.sync_fd(fd, step="operation-sync", path=path)
    except BaseException:
        storage.discard(path)
        raise
    finally:
        os.close(fd)
    return path


def commit_operation(git_dir: str, operation: Operation, pending: str) -> None:
    """The commit point: give the prepared file its number, durably."""
    path = _path(git_dir, operation.number)
    if not storage.link(pending, path, step="operation-commit"):
        raise CorruptObject(f"operation {operation.number} exists already")
    storage.sync_directory(_folder(git_dir), step="operation-folder-sync")
    storage.unlink(pending, step="operation-tidy")


def iter_pending(git_dir: str) -> Iterator[tuple[str, Operation | None]]:
    """Yield (path, operation or None when it was not written whole) of the intents that killed commands left."""
    folder = _folder(git_dir)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():  # a bare clone has none yet
        if name.startswith("tmp_"):
            path = f"{folder}/{name}"
            try:
                with open(path, "rb") as file:
                    yield path, parse_operation(0, file.read())
            except CorruptObject:
                yield path, None


def drop_operation(git_dir: str, number: int) -> None:
    """Remove an operation that was never acknowledged: its file has no valid end."""
    storage.unlink(_path(git_dir, number), step="operation-drop")
    storage.sync_directory(_folder(git_dir), step="operation-folder-sync")


def mark_finished(git_dir: str, number: int) -> None:
    """Remember that every change of an operation is in place, so that what stock git does later is never redone.

    Not durable on purpose: losing it only means that a finished operation is looked at again.
    """
    storage.write_file(f"{_folder(git_dir)}/{FINISHED}", b"%d\n" % number, step="operation-finished", durable=False)


def make_operation(
    number: int,
    when: tuple[int, str],
    command: Sequence[str],
    head: tuple[str, str] | None,
    refs: Sequence[RefChange],
    worktrees: Sequence[WorktreeChange],
) -> Operation:
    """Return the operation with what does not change left out."""
    return Operation(
        number,
        when[0],
        when[1],
        tuple(command),
        head if head is not None and head[0] != head[1] else None,
        tuple(change for change in refs if change[1] != change[2]),
        tuple(change for change in worktrees if change[1] != change[2]),
    )

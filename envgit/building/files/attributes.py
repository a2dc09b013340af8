"""What --chown, --chmod and the epoch make of the attributes of copied files."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from envgit.errors import EnvgitError, SandboxError, UsageError
from envgit.model import DirectoryRef, Entry, TreeReader

ModeChange: TypeAlias = Callable[[int, bool], int]
"""(mode of the source, whether it is a directory) to the mode of the copy."""

Times: TypeAlias = Literal["clamp", "exact", "keep"]
"""What an epoch does to times: none is later; all are it (the source's mean nothing); none is changed (they hold it already)."""

_ACCOUNTS_BYTES = 16 * 1024 * 1024
_OCTAL = re.compile(r"[0-7]{1,5}")
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_STEP = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_SPECIAL = {"u": 0o4000, "g": 0o2000, "o": 0}


class Stamp(NamedTuple):
    """How entries change when they are copied. `owner`, `mode` None: kept."""

    now_ns: int
    epoch_ns: int | None = None
    owner: tuple[int, int] | None = None
    mode: ModeChange | None = None
    times: Times = "clamp"

    def copied(self, entry: Entry) -> Entry:
        """Return the entry of a copy."""
        uid, gid = self.owner or (entry.uid, entry.gid)
        mode = entry.mode
        if self.mode is not None and entry.type != "l":
            mode = self.mode(mode, entry.type == "d")
        mtime_ns = entry.mtime_ns
        if self.epoch_ns is not None and self.times != "keep":
            mtime_ns = self.epoch_ns if self.times == "exact" else min(mtime_ns, self.epoch_ns)
        return entry._replace(mode=mode, uid=uid, gid=gid, mtime_ns=mtime_ns)

    def new_directory(self, mode: int = 0o755) -> Entry:
        """Return the attributes of a directory that had to be made."""
        uid, gid = self.owner or (0, 0)
        return Entry(b".", "d", mode, uid, gid, self.now_ns if self.epoch_ns is None else self.epoch_ns)


def parse_mode(text: str) -> ModeChange:
    """Return what --chmod=TEXT does: octal (to 07777), or symbolic as chmod(1) without umask (`u=rwX,go=rX`). Raises UsageError."""
    if _OCTAL.fullmatch(text) and int(text, 8) <= 0o7777:
        number = int(text, 8)
        return lambda mode, is_directory: number
    steps: list[tuple[str, str, str]] = []
    for clause in text.split(","):
        found = _CLAUSE.fullmatch(clause)
        if found is None:
            raise UsageError(f"{text!r} is not a mode", hint='an octal number such as 0644, or "u=rwX,go=rX"')
        who = "ugo" if not found[1] or "a" in found[1] else found[1]
        steps.extend((who, step[1], step[2]) for step in _STEP.finditer(found[2]))

    def change(mode: int, is_directory: bool) -> int:
        for who, operator, permissions in steps:
            mode = _step(mode, is_directory, who, operator, permissions)
        return mode

    return change


def _step(mode: int, is_directory: bool, who: str, operator: str, permissions: str) -> int:
    bits = _permission_bits(mode, is_directory, permissions)
    wanted = affected = 0
    for letter in set(who):
        shift = _SHIFTS[letter]
        wanted |= bits << shift
        affected |= 0o7 << shift | _SPECIAL[letter]
        if "s" in permissions:
            wanted |= _SPECIAL[letter]
    if "t" in permissions:
        wanted |= 0o1000
    if len(set(who)) == 3:
        affected |= 0o1000
    if operator == "+":
        return mode | wanted
    if operator == "-":
        return mode & ~wanted
    return mode & ~affected | wanted


def _permission_bits(mode: int, is_directory: bool, permissions: str) -> int:
    if permissions in _SHIFTS:
        return mode >> _SHIFTS[permissions] & 0o7
    bits = 0
    for letter in permissions:
        bits |= {"r": 4, "w": 2, "x": 1, "X": int(is_directory or bool(mode & 0o111))}.get(letter, 0)
    return bits


def resolve_owner(text: str, root: DirectoryRef, reader: TreeReader) -> tuple[int, int]:
    """Return the ids of --chown=USER[:GROUP] by /etc/passwd and /etc/group of the environment.

    Without a group it is the user's first one; for a number the same number. Raises UsageError.
    """
    user, colon, group = text.partition(":")
    if not user or (colon and not group):
        raise UsageError(f"{text!r} is not an owner", hint="USER, USER:GROUP, or numbers: 1000:1000")
    if not colon and _is_number(user):
        text = f"{user}:{user}"
    if all(_is_number(part) for part in text.split(":")):
        uid, gid = (int(part) for part in text.split(":"))
        if max(uid, gid) < 0xFFFFFFFF:
            return uid, gid
        raise UsageError(f"{text!r}: the id is out of range")
    from envgit.exec.identity import resolve_identity

    passwd, groups = (_read(root, reader, path) for path in (b"etc/passwd", b"etc/group"))
    try:
        found = resolve_identity(text.encode("utf-8", "surrogateescape"), passwd, groups)
    except SandboxError as error:
        raise UsageError(
            f"the owner {text!r}: {error.message}", hint="add the account before, or use numbers such as 1000:1000"
        ) from error
    return found.uid, found.gid


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _read(root: DirectoryRef, reader: TreeReader, path: bytes) -> bytes:
    """Return a file of the environment; nothing when there is none, or it is too large to be a list of accounts."""
    from envgit.tree_path import find_child

    try:
        child = find_child(reader, root, path, follow=True)
    except EnvgitError:
        return b""
    if child.entry.type != "f" or child.entry.size > _ACCOUNTS_BYTES:
        return b""
    return b"".join(reader.iter_content(child))

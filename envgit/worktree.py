"""A worktree: the base a branch's stack was mounted from, and the upper directory with its uncommitted changes.

docs/format.md section 8. A pointer is one word, `BASE:ID`; every operation on a worktree is one replacement of a pointer.
"""

from __future__ import annotations

import os

from envgit.errors import CorruptObject
from envgit.light_typing import NamedTuple

NO_UPPER = "-"
DETACHED = "@detached"
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class Pointer(NamedTuple):
    """Where a branch's uncommitted changes are. `upper` is None when there are none yet."""

    base: bytes
    upper: str | None

    def format(self) -> str:
        """Return the word that is stored."""
        return f"{self.base.hex()}:{self.upper or NO_UPPER}"


def parse_pointer(word: str) -> Pointer:
    """Parse a stored pointer; raises CorruptObject."""
    base, _, upper = word.strip().partition(":")
    try:
        oid = bytes.fromhex(base)
    except ValueError:
        oid = b""
    if len(oid) != 20 or not upper or "/" in upper or upper.startswith("."):
        raise CorruptObject(f"worktree pointer {word!r} is damaged", hint="envgit reset --hard drops it")
    return Pointer(oid, None if upper == NO_UPPER else upper)


def worktree_name(branch: str | None) -> str:
    """Return the folder name of a branch's worktree (short name, without refs/heads/); None is a detached HEAD."""
    if branch is None:
        return DETACHED
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in os.fsencode(branch))


def branch_of_worktree(name: str) -> str | None:
    """Undo worktree_name."""
    if name == DETACHED:
        return None
    head, *rest = os.fsencode(name).split(b"%")
    return os.fsdecode(head + b"".join(bytes([int(part[:2], 16)]) + part[2:] for part in rest))

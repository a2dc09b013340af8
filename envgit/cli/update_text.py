"""What an update moved, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from .screen import Screen

if TYPE_CHECKING:
    from envgit.building.locking import PackageMove
    from envgit.update import Update

_COLORS: Final = {"+": "green", "-": "red", "~": "yellow"}


def move_lines(update: Update, screen: Screen) -> Iterator[str]:
    """Yield a line per package that moved, `~ libpq5 15.19-0 -> 15.20-0 (apt)`, or one that says that none did."""
    if update.base_moved:
        yield screen.paint("yellow", "~ the base")
    for move in update.moves:
        text = screen.safe(str(move))
        yield screen.paint(_COLORS[text[0]], text)
    if not update.moves and not update.base_moved:
        yield "nothing newer"


def update_fields(update: Update) -> dict[str, Any]:
    """Return what --json prints beside the version."""
    return {
        "environment": update.name,
        "commit": update.result.oid,
        "lock": update.result.lock or None,
        "base_moved": update.base_moved,
        "packages": [_move_fields(move) for move in update.moves],
    }


def _move_fields(move: PackageMove) -> dict[str, Any]:
    package = move.package
    return {
        "manager": package.manager,
        "name": package.name,
        "architecture": package.architecture or None,
        "old": move.old.version if move.old is not None else None,
        "new": move.new.version if move.new is not None else None,
    }

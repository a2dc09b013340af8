"""What a build says while it works: plain lines on standard error, between what its programs print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .terminal_monitor import TerminalMonitor

if TYPE_CHECKING:
    from envgit.building.progress import Position

_TEXT_MOST_CHARACTERS: Final = 100


class BuildLines:
    """Implements `envgit.building.progress.BuildProgress`."""

    def __init__(self, monitor: TerminalMonitor) -> None:
        self._monitor = monitor

    def started(self, position: Position, reason: str) -> None:
        self._monitor.say(f"{_place(position)} {unit_line(position.text)}  ({reason})")

    def reused(self, position: Position, oid: str) -> None:
        self._monitor.say(f"{_place(position)} {unit_line(position.text)}  (reused {oid[:7]})")

    def done(self, position: Position, oid: str, seconds: float) -> None:
        self._monitor.say(f"{_place(position)} {oid[:7]} in {seconds:.1f} s")


def _place(position: Position) -> str:
    stage = f" {position.stage}" if position.stage else ""
    return f"[{position.number}/{position.total}{stage}]"


def unit_line(text: str) -> str:
    """Return the first line of what the user wrote, shortened, on one line."""
    lines = text.strip().splitlines() or [""]
    first = lines[0].rstrip("\\").rstrip()
    cut = len(first) > _TEXT_MOST_CHARACTERS
    return first[:_TEXT_MOST_CHARACTERS].rstrip() + (" ..." if cut or len(lines) > 1 else "")

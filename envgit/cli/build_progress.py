"""What a build says while it works: plain lines on standard error, between what its programs print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from .escape import count_of
from .terminal_monitor import TerminalMonitor

if TYPE_CHECKING:
    from envgit.building.landing import Stopped
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

    def stopped(self, stopped: Stopped) -> None:
        for line in stopped_lines(stopped):
            self._monitor.say(line)


def stopped_lines(stopped: Stopped) -> Iterator[str]:
    """Yield where a build that failed leaves the branch, and how to take that back."""
    landing = stopped.landing
    where = landing.branch or "detached HEAD"
    if landing.oid and landing.oid == stopped.good:
        reused = f", {stopped.reused} reused" if stopped.reused else ""
        yield f"[{where} {landing.oid[:7]}] {stopped.built} of {count_of(stopped.total, 'unit')} built{reused}"
    else:
        stays = f"{where} stays at {landing.oid[:7]}" if landing.oid else f"{where} has no commit yet"
        yield stays + (f"; the good units: {stopped.ref}" if stopped.good else "")
    if landing.moved:
        yield "hint: to take this back: envgit undo"


def _place(position: Position) -> str:
    return place_text(position.number, position.total, position.stage)


def place_text(number: int, total: int, stage: str) -> str:
    """Return `[2/5]`, or with several stages `[2/5 STAGE]`; `--from-step` takes the number."""
    return f"[{number}/{total}{' ' if stage else ''}{stage}]"


def unit_line(text: str) -> str:
    """Return the first line of what the user wrote, shortened, on one line."""
    lines = text.strip().splitlines() or [""]
    first = lines[0].rstrip("\\").rstrip()
    cut = len(first) > _TEXT_MOST_CHARACTERS
    return first[:_TEXT_MOST_CHARACTERS].rstrip() + (" ..." if cut or len(lines) > 1 else "")

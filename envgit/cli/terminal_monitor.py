"""Progress as one line on standard error, on a terminal only; warnings always."""

from __future__ import annotations

import time

from envgit.light_typing import Final, TextIO

from .escape import human_bytes, neutralise

_REDRAW_AFTER_S: Final = 0.1
_WARNINGS_SHOWN: Final = 20


class _Step:
    __slots__ = ("done", "name", "started", "total", "unit")

    def __init__(self, name: str, total: int | None, unit: str, started: float) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.started = started
        self.done = 0


class TerminalMonitor:
    """Implements `envgit.monitor.Monitor`. Starts no thread: a sandbox needs a single-threaded process."""

    def __init__(self, stream: TextIO, *, terminal: bool, width: int = 80) -> None:
        self._stream = stream
        self._terminal = terminal
        self._width = width
        self._steps: list[_Step] = []
        self._drawn = False
        self._next_draw = 0.0
        self.warnings = 0

    def start(self, step: str, total: int | None = None, unit: str = "") -> None:
        now = time.monotonic()
        self._steps.append(_Step(step, total, unit, now))
        if self._terminal:
            self._draw(now)

    def advance(self, amount: int = 1) -> None:
        if not self._steps:
            return
        self._steps[-1].done += amount
        if self._terminal:
            now = time.monotonic()
            if now >= self._next_draw:
                self._draw(now)

    def finish(self) -> None:
        if self._steps:
            self._steps.pop()
        self.clear()

    def note(self, message: str) -> None:
        self.say(message)

    def warn(self, message: str) -> None:
        self.warnings += 1
        if self.warnings <= _WARNINGS_SHOWN:
            self.say(f"warning: {message}")

    def close(self) -> None:
        """Clear the line; say how many warnings were too many to show."""
        self.clear()
        if self.warnings > _WARNINGS_SHOWN:
            self.say(f"warning: and {self.warnings - _WARNINGS_SHOWN:,} more warnings like these")
            self.warnings = _WARNINGS_SHOWN

    def say(self, text: str) -> None:
        """Print a line on standard error, above the progress line. Control characters are shown on a terminal."""
        self.clear()
        print(neutralise(text) if self._terminal else text, file=self._stream, flush=True)

    def clear(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False

    def _draw(self, now: float) -> None:
        step = self._steps[-1]
        line = neutralise(format_progress(step.name, step.done, step.total, step.unit, now - step.started))
        self._stream.write(f"\r{line[: self._width - 1]}\x1b[K")
        self._stream.flush()
        self._drawn = True
        self._next_draw = now + _REDRAW_AFTER_S


def format_progress(name: str, done: int, total: int | None, unit: str, seconds: float) -> str:
    """Return `importing: 45% (4,211/9,000 files, 1,033 files/s)`."""

    def amount(count: int) -> str:
        return human_bytes(count) if unit == "bytes" else f"{count:,}"

    if not done and not total:
        return f"{name} ..."
    noun = "" if unit in ("bytes", "") else f" {unit}"
    rate = f", {amount(int(done / seconds))}{noun}/s" if seconds > 0.2 and done else ""
    if total:
        return f"{name}: {min(100, done * 100 // total)}% ({amount(done)}/{amount(total)}{noun}{rate})"
    return f"{name}: {amount(done)}{noun}" + (f" ({rate[2:]})" if rate else "")

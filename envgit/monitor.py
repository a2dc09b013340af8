"""How long work reports itself, without knowing a terminal."""

from __future__ import annotations

from envgit.light_typing import Protocol


class Monitor(Protocol):
    """Receives progress and warnings; calls are cheap and may come from the thread that works."""

    def start(self, step: str, total: int | None = None, unit: str = "") -> None:
        """Begin a step ("importing"); `total` in `unit` ("files", "bytes") when known."""

    def advance(self, amount: int = 1) -> None:
        """`amount` more units of the current step are done."""

    def finish(self) -> None:
        """End the current step."""

    def note(self, message: str) -> None:
        """Say something that was decided for the user, such as the free port that was chosen."""

    def warn(self, message: str) -> None:
        """Say something that was not captured, kept or enforced. Turns exit status 0 into 3 where the command says so."""


class NullMonitor:
    """Reports nothing; collects warnings for callers that want to look."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def start(self, step: str, total: int | None = None, unit: str = "") -> None:
        pass

    def advance(self, amount: int = 1) -> None:
        pass

    def finish(self) -> None:
        pass

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def human_bytes(count: int) -> str:
    """Return a size for people, powers of 1000: `712 bytes`, `1.2 MB`."""
    if count < 1000:
        return f"{count} byte{'' if count == 1 else 's'}"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} PB"

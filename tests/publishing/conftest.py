from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envgit.monitor import NullMonitor
from envgit.registry.uploading import Uploader
from tests.publishing.writable_registry import WritableRegistry


class Counting(NullMonitor):
    """Knows how much was done."""

    def __init__(self) -> None:
        super().__init__()
        self.done = 0

    def advance(self, amount: int = 1) -> None:
        self.done += amount


@pytest.fixture
def fake() -> Iterator[WritableRegistry]:
    registry = WritableRegistry()
    yield registry
    registry.close()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The variables that a client reads; nothing of this machine's configuration but /etc."""
    (tmp_path / "registries.conf").touch()
    return {
        "HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf"),
        "PATH": "/usr/bin:/bin",
    }


@pytest.fixture
def monitor() -> Counting:
    return Counting()


@pytest.fixture
def uploader(fake: WritableRegistry, environ: dict[str, str], monitor: Counting) -> Iterator[Uploader]:
    with Uploader(fake.host, "me/app", environ, monitor) as made:
        yield made


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody sleeps between attempts; the list says how long they would have."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets the size of pieces, so that no test needs large blobs."""

    def set_size(size: int) -> None:
        monkeypatch.setattr("envgit.registry.blob_upload._PIECE_BYTES", size)
        monkeypatch.setattr("envgit.registry.blob_upload._SMALLEST_PIECE_BYTES", min(size, 1024))
        monkeypatch.setattr("envgit.registry.blob_upload._READ_BYTES", 1000)

    return set_size

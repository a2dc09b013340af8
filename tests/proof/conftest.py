"""One small repository per worker; every test gets copies."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envgit.store import storage

from . import lab

Fresh = Callable[[], Path]


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lab.build(tmp_path_factory.mktemp("proof"))


@pytest.fixture
def fresh(original: Path, tmp_path: Path) -> Fresh:
    """Return a function that returns a new copy of the small repository."""
    lab.copy(original.parent / "source.tar", tmp_path / "source.tar")
    counter = itertools.count()
    return lambda: lab.copy(original, tmp_path / f"lab{next(counter)}")


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    yield
    storage.set_fault_hook(None)

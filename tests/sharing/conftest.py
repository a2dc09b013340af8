"""A user with a home of their own, and projects that may share."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from envgit.store.object_store import ObjectStore
from envgit.store.repository import create_bare
from tests.lab import make_root, remove
from tests.proof.child import ENVIRON, Result, envgit

BIG_FILES = 8
BIG_FILE_BYTES = 300_000


@dataclass
class User:
    """Somebody's home, the shared folder in it, and a folder of projects."""

    home: Path
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def shared(self) -> Path:
        return self.home / ".cache/envgit"

    @property
    def packs(self) -> Path:
        return self.shared / "objects/pack"

    def shared_names(self) -> list[str]:
        return sorted(path.stem for path in self.packs.glob("*.pack"))

    def __call__(self, project: str, *words: str, **options: object) -> Result:
        """Run a command in a project; it must succeed."""
        return envgit(self.folder / project, *words, environ=self.environ, **options).good()  # type: ignore[arg-type]

    def init(self, name: str, source: Path, *words: str) -> Path:
        envgit(self.folder, "init", name, "--from", f"dir:{source}", *words, environ=self.environ).good()
        return self.folder / name

    def store(self, name: str) -> ObjectStore:
        """Create an empty repository and return its objects."""
        return create_bare(str(self.folder / name)).objects


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    home, folder = tmp_path / "home", tmp_path / "projects"
    home.mkdir()
    folder.mkdir()
    environ: Mapping[str, str] = ENVIRON
    yield User(home, folder, {**environ, "HOME": str(home)})
    for project in folder.iterdir():
        remove(project)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root filesystem whose pack is big enough to be shared."""
    folder = make_root(tmp_path_factory.mktemp("base") / "root")
    pick = random.Random(17)
    (folder / "usr/lib").mkdir(exist_ok=True)
    for number in range(BIG_FILES):
        (folder / f"usr/lib/big{number}").write_bytes(pick.randbytes(BIG_FILE_BYTES))
    os.link(folder / "usr/lib/big0", folder / "usr/lib/same")
    (folder / "etc/crontab").write_text("# min hour\n" * 20)
    (folder / "usr/lib/big1").chmod(0o755)
    return folder


def packs_of(project: Path) -> dict[str, os.stat_result]:
    """Return what `objects/pack` of a project holds."""
    return {path.name: path.stat() for path in (project / ".envgit/objects/pack").iterdir()}


def assert_git_is_content(project: Path) -> None:
    done = subprocess.run(
        ["git", "--git-dir", str(project / ".envgit"), "fsck", "--strict", "--full", "--no-dangling"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def first_and_last(steps: Sequence[str]) -> list[int]:
    """Return where each step is reached for the first and the last time: to be killed at all others shows nothing new."""
    return sorted({steps.index(step) for step in steps} | {len(steps) - 1 - steps[::-1].index(step) for step in steps})

"""A fresh store per test, and the real git as the oracle, sealed from the caller's configuration."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envgit.store import storage
from envgit.store.objects import Commit, Signature, encode_commit, encode_tree
from envgit.store.repository import GitRepository, create_bare

Git = Callable[..., str]


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    yield
    storage.set_fault_hook(None)


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    return create_bare(str(tmp_path / "lab.envgit"))


def run_git(git_dir: str, *words: str, check: bool = True, data: bytes | None = None) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_DIR": git_dir,
        "TZ": "UTC",
        **{f"GIT_{role}_{key}": "t" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")},
    }
    done = subprocess.run(["git", *words], env=environment, input=data, capture_output=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(words)}: {done.stderr.decode()}")
    return (done.stdout if check else done.stdout + done.stderr).decode().rstrip("\n")


@pytest.fixture
def git(repository: GitRepository) -> Git:
    return lambda *words, **options: run_git(repository.git_dir, *words, **options)


def assert_fsck_silent(git_dir: str) -> None:
    output = run_git(git_dir, "fsck", "--strict", "--full", "--no-dangling", "--no-progress", check=False)
    notices = [line for line in output.splitlines() if not line.startswith("notice: ")]
    assert notices == []


def make_commit(
    repository: GitRepository, *parents: bytes, text: str = "x", seconds: int = 1_700_000_000, files: int = 1
) -> bytes:
    """Write one pack with a commit whose tree holds `files` small files."""
    who = Signature(b"t", b"t", seconds)
    with repository.objects.pack_session() as session:
        entries = [
            (0o100644, b"f%d" % number, session.put("blob", f"{text} {number}\n".encode())) for number in range(files)
        ]
        tree = session.put("tree", encode_tree(entries))
        oid = session.put("commit", encode_commit(Commit(tree, parents, who, who, text.encode() + b"\n")))
        session.finish()
    return oid

"""What envgit keeps below refs/envgit is not for others: not through stock git either, and no push can drop it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import Lab, run_envgit

pytestmark = pytest.mark.any_ids


def git(*words: str | Path, status: int = 0) -> str:
    done = subprocess.run(["git", *words], capture_output=True, check=False, timeout=60, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_stock_git_neither_shows_nor_drops_them(lab: Lab, tmp_path: Path) -> None:
    lab.sh("echo secret > /srv/secret")
    lab("commit", "-m", "secret")
    secret = lab.head()
    lab("reset", "--hard", "HEAD~1")
    kept = f"refs/envgit/kept/{secret}"
    assert kept in lab.git("for-each-ref")
    assert "refs/heads/main" in (listed := git("ls-remote", lab.git_dir)) and "refs/envgit" not in listed
    git("clone", "-q", "--mirror", f"file://{lab.git_dir}", tmp_path / "mirror.git")
    assert "refs/envgit" not in git("-C", tmp_path / "mirror.git", "for-each-ref")
    git("-C", tmp_path / "mirror.git", "cat-file", "-e", secret, status=1)
    said = git("-C", tmp_path / "mirror.git", "push", lab.git_dir, f":{kept}", status=1)
    assert "hidden" in said and kept in lab.git("for-each-ref")
    lab("undo")
    assert lab.head() == secret


def test_our_own_ways_are_not_hindered(lab: Lab, tmp_path: Path) -> None:
    """Between folders, where git is asked to do it, and as a bundle."""
    lab.sh("echo 1 > /srv/one")
    lab("commit", "-m", "one")
    head = lab.head()
    lab("bundle", "-o", str(tmp_path / "one.bundle"), "main")
    for name, source in (("short", str(lab.path)), ("git", f"file://{lab.git_dir}"), ("bundle", "one.bundle")):
        run_envgit("clone", source, name, cwd=tmp_path, **lab.variables)
        clone = Lab(tmp_path / name)
        assert clone.head() == head
        assert clone.git("config", "--get-all", "transfer.hideRefs") == "refs/envgit\n"
        if name != "bundle":
            clone("push", "origin", f"main:from-{name}")
            assert lab.git("rev-parse", f"from-{name}").strip() == head

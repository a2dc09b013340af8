"""A bare clone that stock git made becomes a repository with `envgit init`, if it has environments."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import Lab, run_envgit

pytestmark = pytest.mark.any_ids


def git(*words: str | Path) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("option", ["--bare", "--mirror"])
def test_a_clone_is_adopted(lab: Lab, tmp_path: Path, option: str) -> None:
    lab.sh("echo 1 > /srv/one")
    lab("commit", "-m", "one")
    git("clone", "-q", option, lab.git_dir, tmp_path / "new/.envgit")
    new = Lab(tmp_path / "new")
    assert "not an envgit repository" in run_envgit("log", cwd=new.path, status=2).err
    done = new("init")
    assert "Adopted the clone" in done.out
    assert "Reinitialized" in new("init").out
    assert new.git("config", "--get-all", "transfer.hideRefs") == "refs/envgit\n"
    assert new.git_dir.stat().st_mode & 0o777 == 0o700
    assert new.sh("cat /srv/one; echo 2 > /srv/two").out == "1\n"
    new("commit", "-m", "two")
    new("undo")
    assert new("fsck").status == 0


def test_other_repositories_are_refused_and_left_alone(lab: Lab, tmp_path: Path) -> None:
    git("init", "-q", tmp_path / "source")
    git("-C", tmp_path / "source", "commit", "-q", "--allow-empty", "-m", "no environment")
    git("clone", "-q", "--bare", tmp_path / "source", tmp_path / "code/.envgit")
    git("init", "-q", "--bare", tmp_path / "empty/.envgit")
    git("clone", "-q", "--bare", lab.git_dir, tmp_path / "mixed/.envgit")
    git("-C", tmp_path / "mixed/.envgit", "fetch", "-q", tmp_path / "source", "HEAD:refs/heads/code")
    for name, says in (("code", "not one of environments"), ("empty", "without branches"), ("mixed", "environments")):
        before = sorted(path.name for path in (tmp_path / name / ".envgit").iterdir())
        project = Lab(tmp_path / name)
        project.fails("init", status=2, says=says, hint=None)
        project.fails("init", "--from", "host", status=2, says=says, hint=None)
        assert sorted(path.name for path in (tmp_path / name / ".envgit").iterdir()) == before


def test_a_folder_that_is_no_repository_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "project/.envgit").mkdir(parents=True)
    Lab(tmp_path / "project").fails("init", status=2, says="not an envgit repository", hint=None)
    assert list((tmp_path / "project/.envgit").iterdir()) == []

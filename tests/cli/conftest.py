from __future__ import annotations

from pathlib import Path

import pytest

from .environment import envgit, make_root


@pytest.fixture(scope="session")
def root_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("root") / "root")


@pytest.fixture
def lab(tmp_path: Path, root_folder: Path) -> Path:
    """A repository whose main branch has one commit."""
    envgit("init", "-q", "lab", "--from", f"dir:{root_folder}", cwd=tmp_path)
    return tmp_path / "lab"


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory, root_folder: Path) -> Path:
    """A repository for tests that only read: main with three commits, a branch, a tag, uncommitted changes."""
    folder = tmp_path_factory.mktemp("history")
    envgit("init", "-q", "lab", "--from", f"dir:{root_folder}", cwd=folder)
    lab = folder / "lab"
    envgit("run", "--", "sh", "-c", "echo hi > /etc/motd; rm /srv/notes; chmod 4755 /bin/cat", cwd=lab)
    envgit("commit", "-m", "greet", "-m", "A body.", cwd=lab)
    envgit("checkout", "-q", "-b", "experiment", cwd=lab)
    envgit("run", "--", "sh", "-c", "mkdir -p /srv/app; echo 1 > /srv/app/x.py; ln -s x.py /srv/app/y", cwd=lab)
    envgit("commit", "-q", "-m", "add an application", cwd=lab)
    envgit("tag", "v1", cwd=lab)
    envgit("tag", "-m", "a note", "v1-annotated", "main", cwd=lab)
    envgit("run", "--", "sh", "-c", "printf 'a\\033[31m\\n' > /srv/evil; echo new > '/srv/with space'", cwd=lab)
    return lab

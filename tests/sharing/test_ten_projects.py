"""One cost for ten projects, measured with du."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.sharing.conftest import BIG_FILE_BYTES, BIG_FILES, User

BIG = BIG_FILES * BIG_FILE_BYTES


def du(*folders: Path) -> int:
    """Return the bytes on disk below folders, each inode once."""
    done = subprocess.run(["du", "-s", "-c", "-B1", *folders], capture_output=True, text=True, check=False)
    return int(done.stdout.splitlines()[-1].split()[0])


def make(user: User, name: str, base: Path, how: str) -> None:
    folder = user.folder / name
    if how == "import":
        user.init(name, base)
    else:
        folder.mkdir()
        user(name, "init", ".")
        (folder / "envgit.toml").write_text(f'[env]\nfrom = "dir:{base}"\n')
        user(name, "build")
    user(name, "run", "--", "/bin/true")


@pytest.mark.any_ids
@pytest.mark.parametrize("how", ["import", "build"])
def test_ten_projects_on_one_base_cost_one_base(user: User, base: Path, how: str) -> None:
    make(user, "p0", base, how)
    one = du(user.folder, user.shared)
    assert one > 2 * BIG  # a pack and a layer
    for number in range(1, 10):
        make(user, f"p{number}", base, how)
    ten = du(user.folder, user.shared)
    per_project = (ten - one) / 9
    assert per_project < BIG / 5, (one, ten)  # folders, small files, a pack with a commit
    assert len(user.shared_names()) == 1


def test_control_without_sharing_they_cost_ten(user: User, base: Path) -> None:
    (user.home / ".gitconfig").write_text("[envgit]\n\tcache = off\n")
    make(user, "p0", base, "import")
    one = du(user.folder)
    make(user, "p1", base, "import")
    assert du(user.folder) > 1.9 * one
    assert not user.shared.exists()


def test_ids_do_not_depend_on_sharing(user: User, base: Path) -> None:
    heads = set()
    for number, setting in enumerate(("on", "on", "off")):
        (user.home / ".gitconfig").write_text(f"[envgit]\n\tcache = {setting}\n")
        user.init(f"p{number}", base)
        heads.add((user.folder / f"p{number}/.envgit/refs/heads/main").read_text())
    assert len(heads) == 1


def finding(user: User, project: str) -> dict[str, object]:
    (found,) = (
        each for each in json.loads(user(project, "doctor", "--json").out)["findings"] if each["name"] == "sharing"
    )
    assert isinstance(found, dict)
    return found


def test_doctor_says_whether_projects_share(user: User, base: Path) -> None:
    user.init("p", base)
    assert finding(user, "p")["detail"] == f"this project shares packs through {user.shared}"
    assert finding(user, ".")["detail"] == f"packs are shared through {user.shared}"
    (user.home / ".gitconfig").write_text("[envgit]\n\tcache = off\n")
    assert finding(user, "p")["ok"] and "switched off" in str(finding(user, "p")["detail"])
    (user.home / ".gitconfig").write_text("[envgit]\n\tcache = some/where\n")
    found = finding(user, "p")
    assert not found["ok"] and not found["required"] and "is not an absolute path" in str(found["detail"])
    assert found["fix"] == "git config --global envgit.cache PATH"


def test_doctor_says_that_a_project_is_on_another_filesystem(user: User) -> None:
    user(".", "init", "p")
    folder = Path("/dev/shm") / f"envgit-test-{os.getpid()}"
    (user.home / ".gitconfig").write_text(f"[envgit]\n\tcache = {folder}\n")
    folder.mkdir(mode=0o700)  # envgit makes nothing in a folder that others may write
    try:
        found = finding(user, "p")
        assert not found["ok"] and "is on another filesystem" in str(found["detail"])
    finally:
        subprocess.run(["rm", "-r", folder], check=True)

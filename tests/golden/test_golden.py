"""Repositories of every released format: today's code reads them, and still writes the same ids.

A failure here means that the format changed. Then docs/format.md comes first, a new golden repository second.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.lab import Lab, assert_stock_git_is_content, run_envgit

from . import make

FORMATS = sorted(path.name for path in make.FOLDER.glob("format-*"))

pytestmark = pytest.mark.any_ids


def read_expected(format_: str) -> dict[str, dict[str, str]]:
    expected: dict[str, dict[str, str]] = json.loads((make.FOLDER / format_ / "ids.json").read_text())
    return expected


@pytest.fixture(params=FORMATS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    """A repository as that version left it."""
    project = tmp_path / "old"
    project.mkdir()
    bundle = make.FOLDER / request.param / "repository.bundle"
    subprocess.run(["git", "clone", "-q", "--bare", "-b", "main", bundle, project / ".envgit"], check=True)
    (project / ".envgit/requires").write_text(f"envgit-{request.param}\n")
    return Lab(project)


def test_the_current_format_has_a_golden_repository() -> None:
    assert make.FORMAT in FORMATS


def test_the_same_input_has_the_same_ids(tmp_path: Path) -> None:
    lab = make.record(tmp_path / "new")
    assert make.read_ids(lab) == read_expected(make.FORMAT)


def test_old_repositories_are_sound(old: Lab, tmp_path: Path) -> None:
    assert old("fsck").status == 0
    assert_stock_git_is_content(old.git_dir, tmp_path)
    assert make.read_ids(old) == read_expected(make.FORMAT)


def test_old_repositories_are_read(old: Lab, tmp_path: Path) -> None:
    for steps, name in enumerate(reversed(make.INPUTS)):
        archive = tmp_path / f"{name}.tar"
        old("export", f"main~{steps}", f"tar:{archive}")
        command = ["tar", "--compare", "--numeric-owner", "--warning=no-unknown-keyword", "-f", str(archive)]
        folder = tmp_path / name
        old("export", f"main~{steps}", f"dir:{folder}", status=None)
        if name != "kinds":  # its owners and devices are root's to make
            done = subprocess.run([*command, "-C", str(folder)], capture_output=True, check=False)
            said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
            assert [line for line in said if "id differs" not in line] == []
        run_envgit("init", f"again-{name}", "--from", f"tar:{archive}", cwd=tmp_path)
        again = Lab(tmp_path / f"again-{name}").head("HEAD:rootfs")
        assert again == read_expected(make.FORMAT)[name]["rootfs"]


def test_an_insertion_costs_the_chunks_around_it(old: Lab) -> None:
    """Few, although these bytes are mostly zeros: there are not many places to cut."""
    before = set(old.git("ls-tree", "-r", "--object-only", "main~1:rootfs/library.so").split())
    after = set(old.git("ls-tree", "-r", "--object-only", "main:rootfs/library.so").split())
    assert len(after) > 20
    assert len(after - before) <= 10


def test_old_repositories_are_continued(old: Lab, small_root: Path) -> None:
    old("import", f"dir:{small_root}", "-m", "on top")
    old.sh("echo 1 > /srv/one")
    old("commit", "-m", "one")
    assert old.look("HEAD", "cat /srv/one") == "1\n"
    old("undo")
    assert old.changes() == ["A srv/one"]
    assert old("fsck").status == 0

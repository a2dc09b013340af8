"""--stat, --numstat and --shortstat are laid out as git lays them out."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest

from envgit.cli.diffstat import measure_all, numstat_line, shortstat_line, stat_lines
from envgit.cli.screen import Screen
from envgit.model import Change

from .memory import READER, file, modified

TEXT = b"".join(b"line %d\n" % number for number in range(200))
CASES: list[list[Change]] = [
    [modified(b"etc/motd", b"a\n", b"b\n")],
    [modified(b"a", TEXT, b""), Change(b"some/longer/name", "A", None, file(b"x\ny\n"))],
    [modified(b"a", TEXT, TEXT[:700]), modified(b"b", b"1\n", b"2\n3\n"), modified(b"c", b"x\n" + TEXT, TEXT)],
    [modified(b"deep/" * 20 + b"name", b"a\n", b"b\n"), modified(b"x", b"", TEXT)],
    [Change(b"only/mode", "P", file(b"x\n", 0o644), file(b"x\n", 0o755))],
    [modified(b"bin", b"\0\1", b"\0\1\2"), modified(b"text", b"a\n", b"")],
]


def _git_stat(folder: Path, changes: list[Change], option: str) -> str:
    subprocess.run(["git", "init", "-q", folder], check=True)
    for side in ("old", "new"):
        for change in changes:
            child = getattr(change, side)
            target = folder / change.path.decode()
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            if child is not None:
                target.write_bytes(child.content)
                target.chmod(child.entry.mode)
        subprocess.run(["git", "-C", folder, "add", "-A"], check=True)
        if side == "old":
            identity = ["-c", "user.name=a", "-c", "user.email=a", "-c", "core.fileMode=true"]
            subprocess.run(["git", "-C", folder, *identity, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    command = ["git", "-C", str(folder), "diff", "--cached", option, "HEAD"]
    done: subprocess.CompletedProcess[str] = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_same_as_git(tmp_path: Path, number: int) -> None:
    changes = sorted(CASES[number])
    screen = Screen(io.BytesIO(), terminal=False, color=False)
    stats, totals = measure_all(changes, READER, most=0)
    assert list(stat_lines(stats, totals, screen, 80)) == _git_stat(tmp_path / "a", changes, "--stat").splitlines()
    assert [numstat_line(stat, screen) for stat in stats] == _git_stat(
        tmp_path / "b", changes, "--numstat"
    ).splitlines()
    assert shortstat_line(totals) + "\n" == _git_stat(tmp_path / "c", changes, "--shortstat")


def test_many_changes_are_summed_up_by_size() -> None:
    changes = [Change(b"f%03d" % number, "A", None, file(b"x" * 1000 + b"\n")) for number in range(130)]
    screen = Screen(io.BytesIO(), terminal=False, color=False)
    lines = list(stat_lines(*measure_all(changes, READER, most=100), screen, 80))
    assert len(lines) == 102 and lines[-2] == " ..."
    assert lines[-1] == " 130 files changed, 100 insertions(+), and +30.0 kB in 30 files more"

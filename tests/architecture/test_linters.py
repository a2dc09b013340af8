"""Linters are tests: types, style, and the picture of docs/architecture.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _run(*words: str) -> None:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff(tmp_path: Path) -> None:
    _run(sys.executable, "-m", "ruff", "check", "--cache-dir", str(tmp_path), ".")


def test_ruff_format(tmp_path: Path) -> None:
    _run(sys.executable, "-m", "ruff", "format", "--check", "--cache-dir", str(tmp_path), "envgit")


@pytest.mark.parametrize("what", ["envgit"])
def test_mypy(tmp_path: Path, what: str) -> None:
    _run(sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "-p", what)


def test_import_linter(tmp_path: Path) -> None:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    _run(sys.executable, "-c", program, "--cache-dir", str(tmp_path))


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("store/lock.py", "import envgit.layers.cache", "envgit.store"),
        ("layers/escape.py", "import envgit.exec.linux", "envgit.layers"),
        ("exec/spec.py", "import envgit.repo", "envgit.exec"),
        ("packages/dpkg.py", "import envgit.layers.escape", "envgit.packages"),
        ("status.py", "import envgit.cli.screen", "envgit.status"),
        ("worktree.py", "import envgit.status", "envgit.worktree"),
    ],
)
def test_control_a_forbidden_import_is_seen(tmp_path: Path, module: str, line: str, broken: str) -> None:
    for name in ("envgit", "pyproject.toml"):
        subprocess.run(["cp", "-r", ROOT / name, tmp_path], check=True)
    path = tmp_path / "envgit" / module
    path.write_text(path.read_text() + f"\n{line}\n")
    program = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    done = subprocess.run([sys.executable, "-c", program, "--no-cache"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and f"{broken}" in done.stdout, done.stdout + done.stderr

"""The checked-in reference is what the command line says today."""

from __future__ import annotations

from pathlib import Path

from envgit.cli.reference import reference_pages

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"


def test_reference_pages_are_up_to_date() -> None:
    written = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    assert written == reference_pages(), "run: make reference"

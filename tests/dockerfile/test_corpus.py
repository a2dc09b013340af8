"""Dockerfiles that cover every instruction and quoting rule are read as BuildKit's own parser reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from envgit.dockerfile.instructions import Instruction, Onbuild
from envgit.dockerfile.parse import parse_dockerfile
from tests.dockerfile.oracle import told_by_envgit, told_by_oracle

FOLDER = Path(__file__).parent / "corpus"
CORPUS = sorted(FOLDER.glob("*.Dockerfile"))
ENDINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "byte order mark": lambda text: "\ufeff" + text,
    "no newline at the end": lambda text: text.rstrip("\n"),
    "indented": lambda text: "".join("  " + line for line in text.splitlines(keepends=True)),
    "backticks": lambda text: "# escape=`\n" + text.replace("\\", "`"),
}


def test_the_corpus_is_large_and_names_every_instruction() -> None:
    texts = [path.read_bytes() for path in CORPUS]
    assert len(texts) >= 40
    found = {type(item) for text in texts for item in every(parse_dockerfile(text, "Dockerfile").instructions)}
    assert found == set(get_args(Instruction))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
@pytest.mark.parametrize("ending", ENDINGS)
def test_statements_are_those_of_the_oracle(path: Path, ending: str) -> None:
    text = ENDINGS[ending](path.read_text())
    expected = told_by_oracle(text)
    assert told_by_envgit(text) == expected
    assert expected or ending != "as it is"


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_lines_of_all_instructions_follow_each_other(path: Path) -> None:
    """The texts of the instructions are the file's lines, in order, and only comments and empty lines lie between them."""
    lines = path.read_text().split("\n")
    at = 0
    for item in parse_dockerfile(path.read_bytes(), path.name).instructions:
        source = item.source
        assert source.file == path.name
        between = lines[at : source.first - 1]
        assert all(not line.strip() or line.strip().startswith("#") for line in between)
        assert source.text == "\n".join(lines[source.first - 1 : source.last])
        at = source.last
    assert all(not line.strip() or line.strip().startswith("#") for line in lines[at:])


def every(items: tuple[Instruction, ...]) -> list[Instruction]:
    return [*items, *(item.trigger for item in items if isinstance(item, Onbuild))]

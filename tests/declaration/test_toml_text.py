"""Values as TOML: read back as they were, and texts of several lines as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.declaration.toml_text import format_block, format_value, read_toml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text("ab\n\t\r\\'\"\x00\x7f", max_size=12)


@given(TEXTS)
def test_a_text_is_read_back(text: str) -> None:
    for written in (format_block(text), format_value(text)):
        assert read_toml(f"a = {written}\n".encode(), "file") == {"a": text}


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("one\ntwo\n", "'''\none\ntwo\n'''"),
        ("\n\none\ntwo", "'''\n\n\none\ntwo'''"),
        ("sed 's/\\n//'\necho \\\n  x", "'''\nsed 's/\\n//'\necho \\\n  x'''"),
        ("echo\n'quoted'", '"""\necho\n\'quoted\'"""'),
        ("echo '''\nx", '"""\necho \'\'\'\nx"""'),
        ("echo \\\n'quoted'", "\"echo \\\\\\n'quoted'\""),
        ("a\nb\r\n", '"a\\nb\\r\\n"'),
        ("one\n", '"one\\n"'),
    ],
)
def test_how_several_lines_are_written(text: str, written: str) -> None:
    assert format_block(text) == written


def test_other_values_stay_on_one_line() -> None:
    assert format_block(["a\nb"]) == '["a\\nb"]' and format_block(True) == "true"

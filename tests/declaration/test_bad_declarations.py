"""What is wrong is named with its line and column, and with what to write instead.

The cases are in bad_declarations.txt: a declaration, `--`, LINE:COLUMN: MESSAGE, and maybe `hint: HINT`; `==` between them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from envgit.declaration.errors import DeclarationError
from envgit.declaration.parsing import parse
from envgit.errors import UsageError
from tests.declaration.examples import failure

CASES = (Path(__file__).parent / "bad_declarations.txt").read_text().split("==\n")


@pytest.mark.parametrize("case", CASES)
def test_a_bad_declaration(case: str) -> None:
    text, answer = case.split("\n--\n")
    error = failure(text)
    expected, _, hint = answer.rstrip("\n").partition("\nhint: ")
    assert error.message == f"envgit.toml:{expected}"
    assert (error.hint or "") == hint
    assert isinstance(error, UsageError) and error.exit_code == 2


def test_there_are_many_cases_and_each_is_another() -> None:
    assert len(set(CASES)) == len(CASES) > 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[env]\nname = '\xff'", "envgit.toml:2:9: this is not UTF-8"),
        ("é = '".encode() + b"\xc3\xa9\xe9'", "envgit.toml:1:7: this is not UTF-8"),
        (b"\xef\xbb\xbf\xff", "envgit.toml:1:1: this is not UTF-8"),
        (b"\xff\xfe[\0e\0n\0v\0]\0", "envgit.toml:1:1: this is not UTF-8"),
        (b"a = " + b"[" * 5000, "envgit.toml: its lists and tables are nested too deeply"),
        (b"a = " + b"{a=" * 5000, "envgit.toml: its lists and tables are nested too deeply"),
        (b"a = " + b"9" * 5000, "envgit.toml: it has a number that is too long"),
        (b"#" * ((4 << 20) + 1), "envgit.toml: 4194305 bytes are too long: the most is 4 MiB"),
        (b"a = 1\n<<<<<<< HEAD\n", "envgit.toml:2:1: this is the mark of a merge conflict"),
        (b"a = 1\r\nb = 2\r\nc =\r\n", "envgit.toml:3:4: not TOML: invalid value"),
    ],
)
def test_what_is_no_text(text: bytes, message: str) -> None:
    assert failure(text).message == message


def test_lists_as_deep_as_the_parser_takes_them_are_no_crash() -> None:
    for depth in (50, 200, 390):
        assert failure(f"a = {'[' * depth}{']' * depth}").message.startswith("envgit.toml")


def test_the_files_name_is_as_it_was_given() -> None:
    with pytest.raises(DeclarationError, match=r"^\.\./x y\.toml:1:1: ") as caught:
        parse(b"a = 1", "../x y.toml")
    assert caught.value.place.file == "../x y.toml"


def test_control_characters_of_a_text_are_quoted_in_messages() -> None:
    assert "\x1b" not in failure('[env]\nfrom = "a\\u001b[31m"').message


def test_a_long_text_is_cut_in_messages() -> None:
    assert len(failure(f'[env]\nfrom = "\\n{"x" * 10000}"').message) < 200

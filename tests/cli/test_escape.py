"""Nothing that comes from a repository reaches a terminal raw; names look as git prints them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.cli.escape import human_bytes, neutralise, quote_path


def test_control_characters_are_shown() -> None:
    assert neutralise("\x1b]0;owned\x07 \x9b31m \u202e") == "^[]0;owned^G <U+009B>31m <U+202E>"
    assert neutralise("plain\ttext\n") == "plain\ttext\n"


@given(st.text())
def test_no_control_character_survives(text: str) -> None:
    shown = neutralise(text)
    assert not any(character < " " and character not in "\t\n" or "\x7f" <= character <= "\x9f" for character in shown)
    shown.encode("utf-8")


@given(st.binary(min_size=1))
def test_quoted_paths_are_harmless_and_reversible(path: bytes) -> None:
    quoted = quote_path(path)
    assert quoted.isascii()
    assert not any(character < " " or character == "\x7f" for character in quoted)
    if quoted.startswith('"'):
        undone = quoted[1:-1].encode().decode("unicode_escape").encode("latin-1")
        assert undone == path
    else:
        assert quoted.encode() == path


@pytest.mark.parametrize("quote_high", [True, False])
def test_paths_are_quoted_as_git_quotes_them(tmp_path: Path, quote_high: bool) -> None:
    names = [
        b"plain",
        b"with space",
        b'quo"te',
        b"back\\slash",
        b"tab\t",
        b"new\nline",
        b"\x1b[31m",
        "caf\u00e9".encode(),
    ]
    repo = tmp_path / "r"
    subprocess.run(["git", "init", "-q", repo], check=True)
    for name in names:
        (repo / name.decode()).write_bytes(b"x")
    subprocess.run(["git", "-C", repo, "add", "-A"], check=True)
    setting = f"core.quotePath={str(quote_high).lower()}"
    listed = subprocess.run(["git", "-C", repo, "-c", setting, "ls-files"], check=True, capture_output=True).stdout
    assert sorted(quote_path(name, quote_high=quote_high) for name in names) == sorted(listed.decode().split("\n")[:-1])


def test_sizes_for_people() -> None:
    assert [human_bytes(n) for n in (0, 1, 999, 1000, 1_234_567, 10**12)] == [
        "0 bytes",
        "1 byte",
        "999 bytes",
        "1.0 kB",
        "1.2 MB",
        "1.0 TB",
    ]

"""The text of a link file: what is written is read, and what anybody may have put there is refused with its line."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.errors import InvalidName, UsageError
from envgit.linking.git_program import LOCAL_VARIABLES
from envgit.linking.link_file import LinkFile, format_link, parse_link, read_link_text
from envgit.store.ref_names import check_branch_name

ONE, TWO = "1" * 40, "2" * 40
GOOD = format_link(LinkFile(ONE, TWO, "main"))


def _is_branch(name: str) -> bool:
    try:
        check_branch_name(name)
        os.fsencode(name)
    except (InvalidName, UnicodeEncodeError):
        return False
    return True


@given(st.one_of(st.just(""), st.text(min_size=1, max_size=30).filter(_is_branch)))
def test_what_is_written_is_read(branch: str) -> None:
    link = LinkFile(ONE, TWO, branch)
    assert parse_link(format_link(link), "x") == link


def test_line_ends_of_windows_and_words_of_later_versions_do_no_harm() -> None:
    text = GOOD.replace(b"\n", b"\r\n") + b"registry example.org/x\n"
    assert parse_link(text, "x") == LinkFile(ONE, TWO, "main")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "names no commit"),
        (b"commit " + ONE.encode(), "names no commit and tree"),
        (b"commit HEAD\n", "x:1: 'HEAD' is not an object id"),
        (b"\ncommit --upload-pack=x\n", "x:2:"),
        (GOOD + b"commit " + TWO.encode(), "x:5: 'commit' is there twice"),
        (b"commit " + ONE.encode() + b"\ntree " + TWO.encode() + b"\nbranch ../../x\n", "x:3:"),
        (b"commit " + ONE.encode() + b"\ntree " + TWO.encode() + b"\nbranch \x1b[31m\n", "x:3:"),
        (b"<<<<<<< HEAD\ncommit " + ONE.encode() + b"\n=======\n", "x:1: two links are in conflict"),
        (b"#" * 5000, "more than 4096 bytes"),
        (b"\xff\xfe\x00", "names no commit"),
    ],
)
def test_what_is_no_link_is_refused_with_its_line(text: bytes, says: str) -> None:
    with pytest.raises(UsageError) as failure:
        parse_link(text, "x")
    assert says in failure.value.message
    assert failure.value.hint


@given(st.binary(max_size=200))
def test_any_bytes_are_a_link_or_an_error(text: bytes) -> None:
    with suppress(UsageError):
        parse_link(text, "x")


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "link"
    assert read_link_text(str(path)) is None
    path.symlink_to("/dev/zero")
    with pytest.raises(UsageError):
        read_link_text(str(path))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="no regular file"):
        read_link_text(str(path))
    path.unlink()
    path.mkdir()
    with pytest.raises(UsageError, match="no regular file"):
        read_link_text(str(path))


def test_the_variables_that_git_calls_local_are_cleared() -> None:
    said = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True).stdout
    assert set(said.split()) <= LOCAL_VARIABLES

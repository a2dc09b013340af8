"""Generated texts are read as BuildKit's own parser reads them; where we follow later versions of it, the test says how."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from envgit.dockerfile.statement import NAMES
from tests.dockerfile.oracle import told_by_envgit, told_by_oracle

PIECES = (
    *(f"{name} " for name in sorted(NAMES - {"ONBUILD"})),
    *("\n", "\n", "\n", "FROM a", "\nONBUILD RUN ", "\nonbuild copy ", "\nFOO ", "\nRUN ", "\nENV ", "NONE", "CMD"),
    *(
        " ",
        "  ",
        "\t",
        "\r",
        "\r\n",
        "\v",
        "\f",
        "\\\n",
        "\\",
        "\\\\",
        "\\ \n",
        "`",
        "`\n",
        "#",
        "\n# ",
        "# escape=`\n",
        "#syntax=x\n",
    ),
    *("'", '"', "$", "${", "}", "a", "b", "x=y", "=", ":-", "#x", "é", "日", "\x1c", "\\n"),
    *("--a", "--a=b", "-- ", "--", "[", "[1,]\n", ",", '"a"', '["a","b"]\n', '[""]\n', "[1e3]\n", "{"),
    *(
        "<<",
        "<<EOF",
        "<<-EOF",
        "<<'E'",
        '<<"E"',
        "EOF",
        "\nEOF\n",
        "\n\tEOF\n",
        "\nE\n",
        "<<a <<b",
        "\na\n",
        "\nb\n",
        "<",
        "3<<E",
    ),
    *("&&", "|", ";", "(", ")", "1"),
)
JSON_AND_MORE = re.compile(r"\].*[^ \t\r\n]")
SPACED_HEREDOC = re.compile(r"<<-?[ \t\r]")
FLAG_OF_ITS_TIME = re.compile(r"--.*([`\\]|[^\x00-\x7f])", re.DOTALL)
"""The oracle reads flags byte by byte, and knows only \\ as their escape character."""


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.booleans())
def test_generated_texts(text: str, begins: bool) -> None:
    text = "FROM a\n" * begins + text
    assume(not any(pattern.search(text) for pattern in (JSON_AND_MORE, SPACED_HEREDOC, FLAG_OF_ITS_TIME)))
    assert told_by_envgit(text) == told_by_oracle(text)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(NAMES - {"ONBUILD"})), st.text(max_size=30))
def test_any_characters_as_arguments(name: str, text: str) -> None:
    assume(not re.search("[\0\ufeff\ud800-\udfff\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]", text))
    assume(name != "HEALTHCHECK" or text.isascii())  # where the oracle splits some characters in two
    text = f"{name} {text}"
    assume(not any(pattern.search(text) for pattern in (JSON_AND_MORE, SPACED_HEREDOC, FLAG_OF_ITS_TIME)))
    assert told_by_envgit(text) == told_by_oracle(text)


@pytest.mark.parametrize(
    ("text", "ours", "theirs"),
    [
        # Dockerfile 1.9: text after the array makes it the shell form; before, it was dropped
        ('CMD ["a"] && b', ('["a"] && b',), ("a",)),
        # Dockerfile 1.16: space between << and the name
        ("RUN cat << EOF\nx\nEOF\nRUN true", ("cat << EOF",), ("cat << EOF",)),
        # Dockerfile 1.15: the escape directive counts in flags too
        ("# escape=`\nRUN --a=b` c d", ("d",), ("c d",)),
        # flags are text, not bytes
        ("RUN --a=é b", ("b",), ("b",)),
        # Dockerfile 1.8: the directive `check` does not end the directives
        ("# check=skip=all\n# escape=`\nRUN a`\nb", ("ab",), ("a`",)),
    ],
)
def test_where_we_follow_later_versions(text: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    our, their = told_by_envgit(text), told_by_oracle(text)
    assert our and their and our != their
    assert our[0].values == ours
    assert their[0].values == theirs


def test_a_word_behind_shift_operator_is_no_heredoc_unless_a_line_ends_it() -> None:
    """Since Dockerfile 1.16 BuildKit demands that line, so that `$((1 << 2))` is an error there; before, it was none."""
    shift = "RUN echo $((1 << 2)) > /x\nRUN true"
    assert told_by_envgit(shift) == told_by_oracle(shift)
    told = told_by_envgit("RUN cat <<- 'E O' > /x\n\tbody\n\tE O\nRUN true")
    assert told and [(item.lines, item.heredocs) for item in told] == [
        ((1, 3), (("E O", 0, "\tbody\n"),)),
        ((4, 4), ()),
    ]


def test_lines_may_be_long() -> None:
    """The oracle refuses lines of 64 KiB."""
    text = "RUN " + "x" * 100_000
    assert told_by_oracle(text) is None
    told = told_by_envgit(text)
    assert told and told[0].values == ("x" * 100_000,)


def test_triggers_of_triggers_are_not_read() -> None:
    """They are an error anyway, and each level would take room on the stack."""
    told = told_by_envgit("ONBUILD " * 100_000 + "RUN x")
    assert told and (told[0].name, told[0].trigger, told[0].values) == ("ONBUILD", "ONBUILD", ())

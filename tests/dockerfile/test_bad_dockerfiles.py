"""What is wrong is said with its line, and what to write instead."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.dockerfile.errors import DockerfileError, ExpansionError
from envgit.dockerfile.parse import parse_dockerfile, parse_trigger
from envgit.dockerfile.statement import NAMES
from envgit.dockerfile.words import expand

BAD: list[tuple[str, str, str]] = [
    # text, message, part of the hint
    ("", "Dockerfile: there is no FROM in it", "FROM IMAGE"),
    ("\n# only comments\n\n", "Dockerfile: there is no FROM in it", "FROM IMAGE"),
    ("ARG a\n", "Dockerfile: there is no FROM in it", "FROM IMAGE"),
    ("RUN a\nFROM b", "Dockerfile:1: RUN before the first FROM", "FROM IMAGE"),
    ("FROM", "Dockerfile:1: FROM takes one argument, or three", "AS NAME"),
    ("FROM a b", "Dockerfile:1: FROM takes one argument, or three", "AS NAME"),
    ("FROM a is b", "Dockerfile:1: FROM takes one argument, or three", "AS NAME"),
    ("FROM a as 1b", "Dockerfile:1: '1b' cannot be the name of a stage", "a letter"),
    ("FROM a as b/c", "Dockerfile:1: 'b/c' cannot be the name of a stage", "a letter"),
    ("FROM --platfrom=x a", "Dockerfile:1: unknown flag --platfrom", "did you mean --platform?"),
    ("FROM a\n\nRUM x", "Dockerfile:3: unknown instruction RUM", "did you mean RUN?"),
    ("FROM a\nCOPPY x y", "Dockerfile:2: unknown instruction COPPY", "did you mean COPY?"),
    ("FROM a\nRUN x &&\n  yarn install", "Dockerfile:3: unknown instruction YARN", "the line before"),
    ("FROM a\n\\", "Dockerfile:2: unknown instruction ''", "the line before"),
    ("FROM a\nRUN", "Dockerfile:2: RUN has no command", ""),
    ("FROM a\nRUN []", "Dockerfile:2: RUN has no command", ""),
    ("FROM a\nRUN --network=nope x", "Dockerfile:2: unknown --network=nope", "did you mean none?"),
    ("FROM a\nRUN --security=x x", "Dockerfile:2: unknown --security=x", "sandbox"),
    ("FROM a\nRUN --network x", "Dockerfile:2: --network has no value", "--network=VALUE"),
    ("FROM a\nRUN --network=none --network=host x", "Dockerfile:2: --network is given twice", ""),
    ("FROM a\nRUN --mount=type=cach,target=/x y", "Dockerfile:2: unknown type=cach of --mount", "did you mean cache?"),
    ("FROM a\nCMD --x y", "Dockerfile:2: unknown flag --x", "takes no flags"),
    ("FROM a\nENV --x y=z", "Dockerfile:2: unknown flag --x", "takes no flags"),
    ("FROM a\nARG --x y", "Dockerfile:2: unknown flag --x", "takes no flags"),
    ("FROM a\nCMD [1]", "Dockerfile:2: the exec form may hold strings only", '"1"'),
    ('FROM a\nCOPY ["a", null]', "Dockerfile:2: the exec form may hold strings only", '"1"'),
    ('FROM a\nCMD ["\\u0000"]', "Dockerfile:2: a NUL character in the exec form", ""),
    ("FROM a\nENV", "Dockerfile:2: ENV has no argument", "NAME=VALUE"),
    ("FROM a\nENV a", "Dockerfile:2: 'a' has no value", "a=VALUE"),
    ("FROM a\nENV a=b c d=e", "Dockerfile:2: 'c' has no =", "quote a value"),
    ("FROM a\nENV =b", "Dockerfile:2: '=b' has no name before =", ""),
    ("FROM a\nLABEL a", "Dockerfile:2: 'a' has no value", "a=VALUE"),
    ("FROM a\nARG", "Dockerfile:2: ARG has no argument", ""),
    ("FROM a\nARG =x", "Dockerfile:2: '=x' has no name before =", ""),
    ("FROM a\nCOPY a", "Dockerfile:2: COPY needs a source and a target", "SOURCE TARGET"),
    ("FROM a\nCOPY", "Dockerfile:2: COPY needs a source and a target", "SOURCE TARGET"),
    ("FROM a\nADD []", "Dockerfile:2: ADD needs a source and a target", "SOURCE TARGET"),
    ("FROM a\nCOPY --link=maybe a b", "Dockerfile:2: --link=maybe is neither true nor false", ""),
    ("FROM a\nCOPY --link= a b", "Dockerfile:2: --link= is neither true nor false", ""),
    ("FROM a\nADD --from=x a b", "Dockerfile:2: unknown flag --from", "--"),
    ("FROM a\nCOPY --checksum=x a b", "Dockerfile:2: unknown flag --checksum", "--"),
    ("FROM a\nCOPY a <<EOF\nx\nEOF", "Dockerfile:2: COPY cannot have a heredoc as its target", "after <<NAME"),
    (
        "FROM a\nCOPY <<'a b' /c\nx\na b",
        "Dockerfile:2: the name of a heredoc of COPY may have no space in it or before it",
        "",
    ),
    (
        "FROM a\nCOPY << a /c\nx\na",
        "Dockerfile:2: the name of a heredoc of COPY may have no space in it or before it",
        "",
    ),
    ("FROM a\nRUN <<EOF\nx\n EOF", "Dockerfile:2: no line that is only EOF ends the heredoc", ""),
    ("FROM a\nRUN \\\n <<A <<B\nB\nA\n", "Dockerfile:2: no line that is only B ends the heredoc", ""),
    ("FROM a\nEXPOSE", "Dockerfile:2: EXPOSE has no argument", ""),
    ("FROM a\nVOLUME", "Dockerfile:2: VOLUME has no argument", ""),
    ('FROM a\nVOLUME ["/a", " "]', "Dockerfile:2: an empty path of a volume", ""),
    ("FROM a\nUSER", "Dockerfile:2: USER has no argument", ""),
    ("FROM a\nWORKDIR  ", "Dockerfile:2: WORKDIR has no argument", ""),
    ("FROM a\nSTOPSIGNAL", "Dockerfile:2: STOPSIGNAL has no argument", ""),
    ("FROM a\nSHELL sh -c", "Dockerfile:2: SHELL takes a JSON array of words", '["/bin/bash", "-c"]'),
    ("FROM a\nSHELL []", "Dockerfile:2: SHELL takes a JSON array of words", '["/bin/bash", "-c"]'),
    ("FROM a\nONBUILD", "Dockerfile:2: ONBUILD has no instruction", "ONBUILD RUN"),
    ("FROM a\nONBUILD ONBUILD RUN x", "Dockerfile:2: ONBUILD cannot be the instruction of ONBUILD", ""),
    ("FROM a\nonbuild from b", "Dockerfile:2: FROM cannot be the instruction of ONBUILD", ""),
    ("FROM a\nONBUILD MAINTAINER x", "Dockerfile:2: MAINTAINER cannot be the instruction of ONBUILD", ""),
    ("FROM a\nONBUILD FOO x", "Dockerfile:2: unknown instruction FOO", ""),
    ("FROM a\nONBUILD COPY x", "Dockerfile:2: COPY needs a source and a target", "SOURCE TARGET"),
    ("FROM a\nONBUILD --x RUN y", "Dockerfile:2: unknown flag --x", "takes no flags"),
    ("FROM a\nHEALTHCHECK", "Dockerfile:2: HEALTHCHECK has no argument", ""),
    ("FROM a\nHEALTHCHECK NONE x", "Dockerfile:2: HEALTHCHECK NONE takes no arguments", ""),
    ("FROM a\nHEALTHCHECK CMD", "Dockerfile:2: HEALTHCHECK CMD has no command", ""),
    ("FROM a\nHEALTHCHECK curl x", "Dockerfile:2: HEALTHCHECK takes CMD or NONE, not curl", "HEALTHCHECK CMD"),
    ("FROM a\nHEALTHCHECK --interval=5 CMD x", "Dockerfile:2: '5' is no duration", "30s"),
    ("FROM a\nHEALTHCHECK --interval=-5s CMD x", "Dockerfile:2: '-5s' is no duration", "30s"),
    ("FROM a\nHEALTHCHECK --interval=1d CMD x", "Dockerfile:2: '1d' is no duration", "30s"),
    ("FROM a\nHEALTHCHECK --interval=s CMD x", "Dockerfile:2: 's' is no duration", "30s"),
    ("FROM a\nHEALTHCHECK --interval=9999999h CMD x", "Dockerfile:2: '9999999h' is no duration", "30s"),
    ("FROM a\nHEALTHCHECK --interval=5us CMD x", "Dockerfile:2: --interval=5us is less than 1ms", ""),
    ("FROM a\nHEALTHCHECK --retries=-1 CMD x", "Dockerfile:2: --retries=-1 is no count", ""),
    ("FROM a\nHEALTHCHECK --retries=2147483648 CMD x", "Dockerfile:2: --retries=2147483648 is no count", ""),
    ("FROM a\nHEALTHCHECK --retry=1 CMD x", "Dockerfile:2: unknown flag --retry", "did you mean --retries?"),
    ("# escape=x\nFROM a", "Dockerfile:1: 'x' cannot be the escape character", "escape=`"),
    ("# escape=`\n# Escape=`\nFROM a", "Dockerfile:2: a second escape directive", ""),
    ("# syntax=a\n# syntax=a\nFROM a", "Dockerfile:2: a second syntax directive", ""),
    ("FROM a\nRUN x\0y", "Dockerfile:2:6: a NUL byte", ""),
    ("FROM a\nRUN x \\\n y\0", "Dockerfile:3:3: a NUL byte", ""),
    ("FROM a\nRUN <<E\nx\0\nE", "Dockerfile:3:2: a NUL byte", ""),
]


@pytest.mark.parametrize(("text", "message", "hint"), BAD)
def test_bad_texts(text: str, message: str, hint: str) -> None:
    with pytest.raises(DockerfileError) as error:
        parse_dockerfile(text.encode(), "Dockerfile")
    assert error.value.message == message
    assert hint in (error.value.hint or "")
    assert error.value.exit_code == 2


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(DockerfileError, match=r"D:2:6: byte 0xe9 is not UTF-8") as error:
        parse_dockerfile(b"FROM a\nRUN x\xe9", "D")
    assert "UTF-8" in (error.value.hint or "")
    with pytest.raises(DockerfileError, match="D: is UTF-16"):
        parse_dockerfile("FROM a".encode("utf-16"), "D")
    with pytest.raises(DockerfileError, match="D:3:2: byte 0xff is not UTF-8"):
        parse_dockerfile(b"FROM a\nRUN <<E\nx\xff\nE", "D")


def test_comments_may_be_in_any_encoding() -> None:
    found = parse_dockerfile(b"# caf\xe9\nFROM a\nRUN x \\\n # caf\xe9\n y", "D")
    assert found.instructions[1].source.line == "RUN x  y"


@pytest.mark.parametrize("text", ["", "# c", "RUN a\nRUN b", "FROM a", "ONBUILD RUN x", "FOO", "RUN <<X"])
def test_bad_triggers(text: str) -> None:
    with pytest.raises(DockerfileError, match="^image"):
        parse_trigger(text, "image")


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(sorted(NAMES)), st.text(max_size=8), st.sampled_from(("\n", " ", "--", "<<", '["'))),
        max_size=12,
    )
)
def test_no_text_is_anything_but_parsed_or_refused(parts: list[str]) -> None:
    text = "FROM a\n" + " ".join(parts)
    try:
        parse_dockerfile(text.encode("utf-8", "surrogatepass"), "D")
    except DockerfileError as error:
        assert error.message.startswith("D:")


def test_hostile_sizes_end_soon() -> None:
    parse_dockerfile(b"FROM a\n" + b"RUN x << y\n" * 20_000, "D")
    parse_dockerfile(b"FROM a\nRUN " + b"[" * 100_000, "D")
    parse_dockerfile(b"FROM a\nRUN <<" + b"${a:-" * 100_000, "D")
    parse_dockerfile(b"FROM a\nENV a=" + b"'" * 100_001, "D")
    with pytest.raises(DockerfileError):
        parse_dockerfile(b"FROM a\nHEALTHCHECK --interval=" + b"9" * 100_000 + b"s CMD x", "D")


@pytest.mark.parametrize("text", ["F" * 99_999, f"ENV a=b {'c' * 99_999}", f"COPY --{'x' * 99_999} a b"])
def test_messages_are_short_whatever_the_text(text: str) -> None:
    with pytest.raises(DockerfileError) as error:
        parse_dockerfile(f"FROM a\n{text}".encode(), "D")
    assert len(error.value.message) + len(error.value.hint or "") < 900


def test_messages_of_words_are_short_and_of_one_line() -> None:
    with pytest.raises(ExpansionError) as error:
        expand("x\n" + "y" * 9_999 + "${\nz", lambda name: None)
    assert error.value.message == "a substitution that is none of the known ones in: " + "y" * 100 + "..."

"""What each instruction's value holds."""

from __future__ import annotations

from typing import Any

import pytest

from envgit.dockerfile.instructions import (
    Add,
    Arg,
    ArgItem,
    Cmd,
    Command,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from envgit.dockerfile.parse import parse_dockerfile, parse_trigger


def parse(text: str) -> Dockerfile:
    return parse_dockerfile(text.encode(), "Dockerfile")


def one(text: str) -> Instruction:
    (item,) = parse("FROM a\n" + text).stages[0].instructions
    return item


VALUES: dict[str, tuple[Any, ...]] = {
    "RUN a  b": (Run, Command(("a  b",), False)),
    'RUN ["a", "b c"]': (Run, Command(("a", "b c"), True)),
    "RUN --network=none --mount=type=tmpfs,target=/t --mount=type=ssh --device=d x": (
        *(Run, Command(("x",), False), (), ("type=tmpfs,target=/t", "type=ssh"), "none", "sandbox", ("d",)),
    ),
    "RUN --security=insecure x": (Run, Command(("x",), False), (), (), "default", "insecure", ()),
    "RUN <<A <<-'B' cat\n1\nA\n\t2\n\tB": (
        *(Run, Command(("<<A <<-'B' cat",), False), (Heredoc("A", "1\n"), Heredoc("B", "\t2\n", False, True))),
    ),
    "CMD": (Cmd, Command((), False)),
    "CMD []": (Cmd, Command((), True)),
    "CMD exec a": (Cmd, Command(("exec a",), False)),
    'ENTRYPOINT ["a"]': (Entrypoint, Command(("a",), True)),
    "SHELL [\"/bin/sh\", '-c']".replace("'", '"'): (Shell, ("/bin/sh", "-c")),
    "ENV a=b 'c d'=\"e f\"": (Env, (Pair("a", "b"), Pair("'c d'", '"e f"'))),
    "ENV a b  c": (Env, (Pair("a", "b  c", True),)),
    "LABEL a=b=c d=": (Label, (Pair("a", "b=c"), Pair("d", ""))),
    "ARG a b= c=d": (Arg, (ArgItem("a"), ArgItem("b", ""), ArgItem("c", "d"))),
    "MAINTAINER A U Thor": (Maintainer, "A U Thor"),
    "EXPOSE 80 443/tcp 22": (Expose, ("22", "443/tcp", "80")),
    "VOLUME /a /b": (Volume, ("/a", "/b")),
    'VOLUME [" /a b "]': (Volume, ("/a b",)),
    "USER a:b": (User, "a:b"),
    "WORKDIR /a b": (Workdir, "/a b"),
    "STOPSIGNAL 9": (Stopsignal, "9"),
    "COPY a b /c/": (Copy, ("a", "b"), "/c/"),
    'COPY --chown=1:2 --chmod=755 --from=x --link --parents --exclude=a --exclude=b ["s t", "/u"]': (
        *(Copy, ("s t",), "/u", (), "1:2", "755", "x", True, ("a", "b"), True),
    ),
    "COPY --link=FALSE --parents=True a /b": (Copy, ("a",), "/b", (), "", "", "", False, (), True),
    "COPY f <<X <<'Y' /d/\nx\nX\ny\nY": (Copy, ("f",), "/d/", (Heredoc("X", "x\n"), Heredoc("Y", "y\n", False))),
    'COPY ["<<EOF", "/x"]': (Copy, ("<<EOF",), "/x"),
    "ADD --checksum=sha256:00 --unpack=false --keep-git-dir https://a/b /c": (
        *(Add, ("https://a/b",), "/c", (), "", "", "sha256:00", False, (), True, False),
    ),
    "ADD --chown=a --chmod=u+x --link --exclude=e a /b": (
        Add,
        ("a",),
        "/b",
        (),
        "a",
        "u+x",
        "",
        True,
        ("e",),
        None,
        None,
    ),
    "HEALTHCHECK NONE": (Healthcheck, ("NONE",)),
    "HEALTHCHECK --interval=1s none": (Healthcheck, ("NONE",)),
    "HEALTHCHECK CMD a  b": (Healthcheck, ("CMD-SHELL", "a  b")),
    'HEALTHCHECK --interval=1m30s --timeout=500ms --start-period=1.5h --start-interval=0 --retries=3 cmd ["a"]': (
        *(Healthcheck, ("CMD", "a"), 90 * 10**9, 5 * 10**8, 5400 * 10**9, 0, 3),
    ),
}


@pytest.mark.parametrize("text", VALUES)
def test_values(text: str) -> None:
    kind, *fields = VALUES[text]
    item = one(text)
    assert item == kind(item.source, *fields)
    assert item.source[:3] == ("Dockerfile", 2, 2 + text.count("\n"))


def test_stages_and_global_arguments() -> None:
    found = parse(
        "ARG V=1\nARG W\nFROM --platform=$P a:$V as One\nRUN x\nARG V\nFROM one\nFROM b AS three-3.x_y\nRUN y\nRUN z\n"
    )
    assert [item.items for item in found.arguments] == [(ArgItem("V", "1"),), (ArgItem("W"),)]
    starts = [(stage.start.base, stage.start.name, stage.start.platform) for stage in found.stages]
    assert starts == [("a:$V", "one", "$P"), ("one", "", ""), ("b", "three-3.x_y", "")]
    assert [len(stage.instructions) for stage in found.stages] == [2, 0, 2]
    assert [item.source.first for item in found.instructions] == list(range(1, 10))
    assert isinstance(found.instructions[2], From)


def test_directives() -> None:
    found = parse("# Syntax = docker/dockerfile:1 \n# check=skip=all;error=true\n#escape=`\nFROM a")
    assert (found.syntax, found.check, found.escape) == ("docker/dockerfile:1", "skip=all;error=true", "`")
    assert parse("FROM a\n# escape=`").escape == "\\"


def test_source_keeps_the_text_and_joins_the_line() -> None:
    text = "FROM a\r\n\r\n  RUN a \\\r\n  # why\r\n\tb <<X \r\nin\r\n X\r\nX\r\n# end"
    run = parse(text).instructions[1]
    assert isinstance(run, Run)
    assert run.source.text == "  RUN a \\\n  # why\n\tb <<X \nin\n X\nX"
    assert run.source.line == "RUN a \tb <<X "
    assert run.heredocs[0].content == "in\r\n X\r\n"
    assert (run.source.first, run.source.last) == (3, 8)
    error = run.source.error("no", hint="try")
    assert (error.message, error.hint) == ("Dockerfile:3: no", "try")


def test_text_of_a_heredoc_is_without_the_tabs() -> None:
    content = "\ta\n\t\t b\n \tc\n\n\t\nd\r\te\u2028\tf\tg"
    assert Heredoc("X", content, strip_tabs=True).text == "a\n b\n \tc\n\n\nd\r\te\u2028\tf\tg"
    assert Heredoc("X", content).text == content


@pytest.mark.parametrize(
    ("word", "name", "expands"),
    [
        ("<<EOF", "EOF", True),
        ("<<'EOF'", "EOF", False),
        ('<<"EOF"', "EOF", False),
        ("<<E'O'F", "EOF", False),
        ("<<E\\OF", "EOF", True),
        ("<<$x", "$x", True),
    ],
)
def test_quotes_of_a_heredocs_name_say_that_nothing_expands(word: str, name: str, expands: bool) -> None:
    copy = one(f"COPY {word} /x\n$y\n{name}")
    assert isinstance(copy, Copy)
    assert copy.heredocs == (Heredoc(name, "$y\n", expands),)


def test_onbuild_keeps_the_expression_that_can_be_parsed_again() -> None:
    item = one("OnBuild  COPY --from=x <<-A \\\n  <<B /d/\n\ta\n\tA\n$b\nB")
    assert isinstance(item, Onbuild)
    assert item.expression == "COPY --from=x <<-A   <<B /d/\n\ta\nA\n$b\nB"
    assert isinstance(item.trigger, Copy)
    assert item.trigger.from_ == "x"
    again = parse_trigger(item.expression, "image")
    assert again[1:] == item.trigger[1:]
    assert again.source.file == "image"


def test_trigger_of_an_image() -> None:
    assert parse_trigger('RUN ["a"]', "image debian:12")[1] == Command(("a",), True)


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("FROM a\nRUN x \\\n\n  y", 3, "empty line"),
        ("FROM a\nMAINTAINER x", 2, "org.opencontainers.image.authors"),
        ("FROM a\nENV a b", 2, "ENV NAME=VALUE"),
        ("FROM a\nLABEL a b", 2, "LABEL NAME=VALUE"),
        ("FROM a\nRUN true\nCMD ['a']", 3, "no JSON array"),
        ("FROM a\nONBUILD CMD ['a']", 2, "no JSON array"),
    ],
)
def test_warnings(text: str, line: int, part: str) -> None:
    (warned,) = parse(text).warnings
    assert warned.line == line
    assert part in warned.message


def test_nothing_is_warned_of_without_need() -> None:
    assert parse('# c\n\nFROM a\n\nRUN x \\\n # c\n y\nENV a=b\nCMD ["a"]\nRUN test -f x || [ -f y ]\n').warnings == ()

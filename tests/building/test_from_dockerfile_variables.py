"""ARG and ENV of a Dockerfile: who sees which value."""

from __future__ import annotations

import pytest

from envgit.building.dockerfiles.arguments import undeclared_arguments
from envgit.dockerfile.parse import parse_dockerfile
from envgit.errors import UsageError
from envgit.model import EnvironmentConfig
from tests.building.dockerfile_recipes import NOTHING, config_of, evaluate, last_copy, last_run, read, refused, units_of


def _value(text: str, config: EnvironmentConfig = NOTHING, **build_args: str) -> str:
    """Return what $X is at the end of a Dockerfile."""
    found = config_of(f"{text}\nLABEL x=$X", config, build_args=build_args).extra["Labels"]
    assert isinstance(found, dict)
    return str(found["x"])


@pytest.mark.parametrize(
    ("text", "given", "value"),
    [
        ("FROM scratch", None, ""),
        ("FROM scratch", "g", ""),
        ("FROM scratch\nARG X", None, ""),
        ("FROM scratch\nARG X", "g", "g"),
        ("FROM scratch\nARG X=d", None, "d"),
        ("FROM scratch\nARG X=d", "g", "g"),
        ("FROM scratch\nARG X=d", "", ""),
        ("ARG X=outer\nFROM scratch", None, ""),
        ("ARG X=outer\nFROM scratch\nARG X", None, "outer"),
        ("ARG X=outer\nFROM scratch\nARG X", "g", "g"),
        ("ARG X=outer\nFROM scratch\nARG X=d", None, "d"),
        ("ARG Y=1\nARG X=a$Y\nFROM scratch\nARG X", None, "a1"),
        ("ARG X\nFROM scratch\nARG X", None, ""),
        ("FROM scratch\nARG Y=1 X=$Y", None, "1"),
        ("FROM scratch\nARG X=1\nARG X=2", None, "2"),
        ("FROM scratch\nARG X=1\nENV X=e", "g", "e"),
        ("FROM scratch\nENV X=e\nARG X=1", None, "1"),
        ("FROM scratch\nENV X=e\nARG X", None, "e"),
        ("FROM scratch\nENV X=a\nENV X=b Y=$X\nENV X=$Y", None, "a"),
        ("FROM scratch\nARG X=1\nFROM scratch", None, ""),
        ("FROM scratch AS a\nARG X=1\nFROM a", None, "1"),
        ("FROM scratch AS a\nARG X=1\nFROM a AS b\nFROM b", "g", "g"),
        ("FROM scratch AS a\nENV X=1\nFROM a", None, "1"),
        ("FROM scratch\nARG X='a b'", None, "a b"),
        ("FROM scratch\nARG Y\nARG X=${Y:-none}", None, "none"),
        ("FROM scratch\nARG Y=\nARG X=${Y-none}${Y:+some}", None, ""),
        ("FROM scratch\nARG X=${Y:?never expanded}", "g", "g"),
        ("FROM scratch\nARG TARGETARCH\nENV X=$TARGETARCH", None, "amd64"),
        ("FROM scratch\nENV X=a$TARGETARCH", None, "a"),
        ("FROM scratch\nENV X=$PATH", None, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ],
)
def test_values(text: str, given: str | None, value: str) -> None:
    build_args = {} if given is None else {"X": given}
    assert _value(text, NOTHING, **build_args) == value


def test_variables_of_the_base() -> None:
    config = EnvironmentConfig(env=(("X", "base"), ("PATH", "/bin")))
    assert _value("FROM debian", config) == "base"
    assert _value("FROM debian\nENV X=$X:$PATH", config) == "base:/bin"
    assert _value("FROM debian\nARG X", config, X="given") == "given"
    assert config_of("FROM debian\nENV X=1 Y=2", config).env == (("X", "1"), ("PATH", "/bin"), ("Y", "2"))


def test_programs_get_arguments_that_are_no_variables_of_the_configuration() -> None:
    text = "FROM debian\nARG B=1\nARG A=2\nARG NONE\nARG H=/h\nENV E=3\nENV B=env\nRUN x"
    assert last_run(text, EnvironmentConfig(env=(("H", "/h"),))).env == (("A", "2"),)
    assert last_run("FROM debian\nENV X=e\nARG X=a\nRUN x").env == (("X", "a"),)


def test_arguments_of_the_outside_are_not_given_to_programs() -> None:
    assert last_run("ARG A=1\nFROM debian\nRUN x", build_args={"B": "2"}).env == ()


def test_predefined_platforms() -> None:
    text = """
        FROM --platform=$BUILDPLATFORM debian AS build
        ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM BUILDOS BUILDARCH BUILDVARIANT TARGETSTAGE
        RUN x
    """
    assert last_run(text, platform="linux/arm/v6").env == (
        ("BUILDARCH", "amd64"),
        ("BUILDOS", "linux"),
        ("BUILDPLATFORM", "linux/amd64"),
        ("BUILDVARIANT", ""),
        ("TARGETARCH", "arm"),
        ("TARGETOS", "linux"),
        ("TARGETPLATFORM", "linux/arm/v6"),
        ("TARGETSTAGE", "build"),
        ("TARGETVARIANT", "v6"),
    )
    assert last_run("FROM debian\nARG TARGETARCH\nRUN x", build_args={"TARGETARCH": "mine"}).env == (
        ("TARGETARCH", "mine"),
    )


def test_proxies_reach_programs_and_leave_no_trace() -> None:
    text = "FROM debian\nRUN x"
    given = {"HTTP_PROXY": "http://user:secret@proxy", "no_proxy": "local"}
    with_proxy, without = units_of(text, build_args=given)[0], units_of(text)[0]
    assert last_run(text, build_args=given).env == (
        ("HTTP_PROXY", "http://user:secret@proxy"),
        ("http_proxy", "http://user:secret@proxy"),
        ("NO_PROXY", "local"),
        ("no_proxy", "local"),
    )
    assert with_proxy.record == without.record
    assert "secret" not in str(with_proxy.record)
    declared = units_of("FROM debian\nARG HTTP_PROXY\nRUN x", build_args=given)[0]
    assert "secret" in str(declared.record)
    assert last_run("FROM debian\nENV HTTP_PROXY=mine\nRUN x", build_args=given).env[0][0] == "http_proxy"


def test_which_instructions_expand() -> None:
    start = "FROM debian\nARG X=x\nARG P=80/tcp\n"
    both = f"{start}ENV A$X=$X\nLABEL l$X=$X\nEXPOSE $P\nVOLUME /$X\nUSER $X\nWORKDIR /$X\nSTOPSIGNAL SIG${{N:-TERM}}\n"
    config = config_of(both)
    assert (config.env, config.user, config.working_dir) == ((("Ax", "x"),), "x", "/x")
    assert dict(config.extra) == {
        "Labels": {"lx": "x"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/x": {}},
        "StopSignal": "SIGTERM",
    }
    neither = f'{start}RUN echo $X\nCMD echo $X\nENTRYPOINT ["$X"]\nSHELL ["$X"]\nONBUILD RUN $X\nHEALTHCHECK CMD $X'
    units = units_of(neither)
    config = config_of(neither)
    assert getattr(units[0].action, "argv", None) == ("/bin/sh", "-c", "echo $X")
    assert (config.entrypoint, config.cmd) == (("$X",), ("/bin/sh", "-c", "echo $X"))
    assert config.extra["OnBuild"] == ["RUN $X"]
    assert config.extra["Healthcheck"] == {"Test": ["CMD-SHELL", "$X"]}
    item = last_copy(f"{start}COPY --chown=$X:$X --chmod=${{M:-0600}} --exclude=$X $X ${{X}}2 /$X/")[0]
    assert (item.owner, item.mode, item.exclude) == ("x:x", "0600", ("$X",))
    assert (item.sources, item.target) == (("x", "x2"), "/x/")


def test_an_escape_directive_is_that_of_words_too() -> None:
    assert _value("# escape=`\nFROM scratch\nARG Y=1\nENV X=`$Y\\") == "$Y\\"
    assert _value("FROM scratch\nARG Y=1\nENV X=\\$Y") == "$Y"


def test_expansions_that_fail_name_their_line() -> None:
    refused('FROM debian\n\nENV A="${B:?give a B}"', 3, "give a B")
    refused("FROM debian\nCOPY ${A /x", 2, "${A")
    refused("FROM debian\nARG A=${B?nothing}", 2, "nothing")
    refused("FROM debian\nRUN --mount=type=bind,target=${B?nothing} x", 2, "nothing")


def test_arguments_that_are_no_text() -> None:
    with pytest.raises(UsageError, match="--build-arg 'A': not UTF-8"):
        read("FROM debian\nARG A\nENV B=$A", build_args={"A": "\udcff"})


def test_stages_may_be_read_again() -> None:
    """A plan reads them, then the build."""
    recipe = read("FROM debian AS a\nARG X=1\nENV X=$X$X\nFROM a\nRUN x")
    first, second = (evaluate(recipe, EnvironmentConfig()) for _ in range(2))
    assert first == second


def test_arguments_that_nothing_declares() -> None:
    text = b"ARG A\nFROM debian\nARG B=1 C\nONBUILD ARG D\nRUN x"
    names = ["A", "B", "C", "D", "E", "http_proxy", "ALL_PROXY", "TARGETOS", "BUILDKIT_X", "SOURCE_DATE_EPOCH", "F"]
    assert undeclared_arguments(parse_dockerfile(text, "Dockerfile"), names) == ("E", "F")

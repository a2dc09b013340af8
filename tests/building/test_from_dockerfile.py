"""Stages of a Dockerfile: what they begin from, what they need, which one is wanted, and which units they become."""

from __future__ import annotations

import pytest

from envgit.building.record import parse_record
from envgit.building.unit import Copy, Origin, RevisionBase, Run, ScratchBase, SourceBase, StageBase
from envgit.errors import UsageError
from envgit.model import EnvironmentConfig
from tests.building.dockerfile_recipes import evaluate, last_copy, last_run, read, refused, refused_early, units_of

# FROM


@pytest.mark.parametrize(
    ("written", "base"),
    [
        ("scratch", ScratchBase()),
        ("debian", SourceBase("docker://docker.io/library/debian:latest")),
        ("debian:12", SourceBase("docker://docker.io/library/debian:12")),
        ("docker.io/library/debian:12", SourceBase("docker://docker.io/library/debian:12")),
        ("ghcr.io/some/app:1.0", SourceBase("docker://ghcr.io/some/app:1.0")),
        ("localhost:5000/app", SourceBase("docker://localhost:5000/app:latest")),
        ("debian@sha256:" + "a" * 64, SourceBase("docker://docker.io/library/debian@sha256:" + "a" * 64)),
        ("docker://debian:12", SourceBase("docker://docker.io/library/debian:12")),
        ("oci:images/base:1", SourceBase("oci:images/base:1")),
        ("oci-archive:base.tar", SourceBase("oci-archive:base.tar")),
        ("docker-archive:base.tar", SourceBase("docker-archive:base.tar")),
        ("docker://tar:1", SourceBase("docker://docker.io/library/tar:1")),
        ("hosts", SourceBase("docker://docker.io/library/hosts:latest")),
        ("main~2", RevisionBase("main~2")),
        ("v1.0", RevisionBase("v1.0")),
        ("--platform=linux/arm64/v8 debian", SourceBase("docker://docker.io/library/debian:latest", "linux/arm64")),
        ("--platform=arm debian", SourceBase("docker://docker.io/library/debian:latest", "linux/arm/v7")),
        ("--platform=$BUILDPLATFORM scratch", ScratchBase()),
        ("--platform=$BUILDPLATFORM debian", SourceBase("docker://docker.io/library/debian:latest", "linux/amd64")),
    ],
)
def test_bases(written: str, base: object) -> None:
    recipe = read(f"FROM {written}", is_revision=lambda name: name in ("main~2", "v1.0"))
    assert recipe.stages[0].base == base
    assert (recipe.stages[0].text, recipe.stages[0].origin) == (f"FROM {written}", Origin("Dockerfile", 1))


def test_a_stage_comes_before_a_revision_and_a_revision_before_an_image() -> None:
    text = """
        FROM main AS debian
        FROM debian
        FROM scratch AS scratch
        FROM other
    """
    bases = [stage.base for stage in read(text, is_revision=lambda name: name in ("main", "debian", "scratch")).stages]
    assert bases == [
        RevisionBase("main"),
        StageBase(0),
        ScratchBase(),
        SourceBase("docker://docker.io/library/other:latest"),
    ]


def test_a_stage_may_be_called_as_its_base() -> None:
    """The name counts from the next stage on."""
    recipe = read("FROM debian AS debian\nFROM debian AS debian\nFROM debian")
    assert [stage.base for stage in recipe.stages] == [
        SourceBase("docker://docker.io/library/debian:latest"),
        StageBase(0),
        StageBase(1),
    ]
    assert [stage.needs for stage in recipe.stages] == [(), (0,), (1,)]


def test_names_of_stages_know_no_case() -> None:
    recipe = read("FROM scratch AS Build\nCOPY a /\nFROM scratch\nCOPY --from=BUILD /a /", target="build")
    assert (recipe.stages[0].name, recipe.target) == ("build", 0)
    assert recipe.stages[1].needs == (0,)


def test_the_platform_that_is_built_for() -> None:
    recipe = read("FROM debian\nFROM --platform=linux/386 alpine", platform="aarch64")
    assert [stage.base.platform for stage in recipe.stages if isinstance(stage.base, SourceBase)] == [
        "linux/arm64",
        "linux/386",
    ]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("FROM $NOTHING", 1, "empty once variables are expanded"),
        ("FROM scratch\nFROM --platform=$NOTHING debian", 2, "the platform is empty"),
        ("FROM --platform=a/b/c/d debian", 1, "'a/b/c/d' is not a platform"),
        ("FROM Debian:12", 1, "Debian"),
        ("FROM debian:12:13", 1, "12:13"),
        ("FROM tar:../bb.tar", 1, "'tar:../bb.tar' is no image: such sources are for `from` in envgit.toml"),
        ("FROM dir:root", 1, "envgit.toml"),
        ("FROM host", 1, "envgit.toml"),
        ("FROM debian:", 1, "envgit.toml"),
        ("FROM scratch\nCOPY --from=tar:a.tar / /", 2, "envgit.toml"),
        ("FROM ${V:?which}", 1, "which"),
        ("ARG V=${W:?what}\nFROM debian:$V", 1, "what"),
        ("FROM scratch\nCOPY --from=2 a /", 2, "there is no such stage"),
        ("FROM scratch\nCOPY --from=0 a /", 2, "not complete yet"),
        ("FROM scratch AS a\nCOPY --from=a x /", 2, "not complete yet"),
        ("FROM scratch\nCOPY --from=b x /\nFROM scratch AS b", 2, "not complete yet"),
        ("FROM scratch\nCOPY --from=scratch x /", 2, "no files"),
        ("ARG F=x\nFROM scratch\nCOPY --from=$F x /", 3, "variables"),
        ("FROM scratch\nRUN --mount=from=later,target=/a x\nFROM scratch AS later", 2, "not complete yet"),
    ],
)
def test_names_that_make_no_sense(text: str, line: int, says: str) -> None:
    refused_early(text, line, says)


# which stage


def test_the_last_stage_is_wanted_unless_another_is_named() -> None:
    text = "FROM scratch AS one\nFROM scratch AS two\nFROM scratch"
    assert read(text).target == 2
    assert read(text, target="one").target == 0
    assert read(text, target="1").target == 1
    with pytest.raises(UsageError, match="no stage 'tow'") as caught:
        read(text, target="tow")
    assert caught.value.hint == "did you mean 'two'?"
    with pytest.raises(UsageError, match="no stage '3'"):
        read(text, target="3")


def test_what_stages_need() -> None:
    text = """
        FROM scratch AS base
        FROM base AS tools
        FROM scratch AS unneeded
        FROM debian
        COPY --from=tools /a /
        RUN --mount=from=base,target=/b true
        COPY --from=alpine /etc/passwd /
        COPY --from=v1 /etc/group /
        COPY --from=2 /x /
    """
    recipe = read(text, is_revision=lambda name: name == "v1")
    assert [stage.needs for stage in recipe.stages] == [(), (0,), (), (0, 1, 2)]
    sources = [
        item.source
        for unit in recipe.stages[3].units(EnvironmentConfig())
        if isinstance(unit.action, Copy)
        for item in unit.action.items
    ]
    assert sources == [
        StageBase(1),
        SourceBase("docker://docker.io/library/alpine:latest"),
        RevisionBase("v1"),
        StageBase(2),
    ]


# units


def test_one_unit_for_each_instruction_but_arg() -> None:
    text = """
        FROM debian
        # comment
        ARG A=1
        ENV B=2
        RUN echo \\
            # inside
            two
        COPY a b /c/
        WORKDIR /w
        CMD x
    """
    units = units_of(text)
    assert [(unit.text, unit.origin.line) for unit in units] == [
        ("ENV B=2", 4),
        ("RUN echo \\\n    # inside\n    two", 5),
        ("COPY a b /c/", 8),
        ("WORKDIR /w", 9),
        ("CMD x", 10),
    ]


def test_records_say_wholly_what_a_unit_does() -> None:
    """They are its key: everything that matters is in them, nothing else is."""
    text = "FROM debian\nARG A=1\nRUN --network=none make\nCOPY a /b/\nWORKDIR w\nENV X=1\n"
    for unit in units_of(text):
        recorded = parse_record(unit.record)
        assert (recorded.action, recorded.config) == (unit.action, unit.config)
    same = units_of("FROM debian\n\nARG  A=1\nRUN --network=none    make # not a comment\nRUN --network=none make")
    assert same[1].record == units_of(text)[0].record
    assert same[0].record != same[1].record


def test_arguments_of_a_run_are_part_of_its_record_and_of_nobody_elses() -> None:
    text = "FROM debian\nARG A\nRUN make\nCOPY a /\nENV B=1\n"
    one, other = (units_of(text, build_args={"A": value}) for value in "12")
    assert [first.record == second.record for first, second in zip(one, other, strict=True)] == [False, True, True]


def test_the_recipe_keeps_what_it_is_given() -> None:
    recipe = read("FROM scratch", ignore=b"*.o\n", files=(("Dockerfile", b"FROM scratch"),), epoch=7)
    assert (recipe.context, recipe.ignore, recipe.epoch) == ("/context", b"*.o\n", 7)
    assert recipe.files == (("Dockerfile", b"FROM scratch"),)
    assert read("FROM scratch", epoch=7, build_args={"SOURCE_DATE_EPOCH": "9"}).epoch == 9
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH=soon"):
        read("FROM scratch", build_args={"SOURCE_DATE_EPOCH": "soon"})


def test_what_is_unsupported_is_refused_before_anything_is_built_but_not_in_stages_that_nobody_needs() -> None:
    text = """
        FROM scratch AS odd
        RUN --security=insecure make
        FROM scratch AS other
        FROM {base}
        COPY a /
    """
    read(text.format(base="other"))
    refused_early(text.format(base="odd"), 2, "--security=insecure")


# ONBUILD


def _with_triggers(*triggers: str) -> EnvironmentConfig:
    return EnvironmentConfig(env=(("HOME", "/h"),), extra={"OnBuild": list(triggers), "Labels": {"a": "b"}})


def test_triggers_of_the_base_come_first_and_are_gone_then() -> None:
    base = _with_triggers("ARG W=w", "ENV A=$W", "COPY . /src", "RUN make")
    units = units_of("FROM debian\nCMD x", base)
    assert [unit.text for unit in units] == ["ENV A=$W", "COPY . /src", "RUN make", "CMD x"]
    assert [unit.origin for unit in units] == [Origin("Dockerfile", line) for line in (1, 1, 1, 2)]
    first = units[0].config
    assert first is not None
    assert first.env == (("HOME", "/h"), ("A", "w"))
    assert dict(first.extra) == {"Labels": {"a": "b"}}
    run = units[2].action
    assert isinstance(run, Run)
    assert run.env == (("W", "w"),)


def test_the_first_unit_takes_the_triggers_away_whatever_it_is() -> None:
    for text in ("FROM debian", "FROM debian\nRUN a", "FROM debian\nCOPY a /", "FROM debian\nARG X=1"):
        units = units_of(text, _with_triggers("ARG A=1"))
        assert len(units) == 1, text
        assert units[0].config is not None
        assert "OnBuild" not in units[0].config.extra


def test_triggers_of_a_stage() -> None:
    """They run in the stages that begin from it, not in itself, and not in those that begin from these."""
    text = """
        FROM scratch AS files
        COPY a /
        FROM debian AS base
        ONBUILD RUN first
        ONBUILD COPY --from=files /a /a
        FROM base AS child
        RUN second
        FROM child
        RUN third
    """
    recipe = read(text)
    results = evaluate(recipe, EnvironmentConfig())
    texts = [[unit.text for unit in results[number][0]] for number in range(4)]
    assert texts == [
        ["COPY a /"],
        ["ONBUILD RUN first", "ONBUILD COPY --from=files /a /a"],
        ["RUN first", "COPY --from=files /a /a", "RUN second"],
        ["RUN third"],
    ]
    assert [stage.needs for stage in recipe.stages] == [(), (), (0, 1), (2,)]


def test_a_trigger_may_be_a_heredoc() -> None:
    text = "FROM debian AS base\nONBUILD RUN <<E\necho 1\nE\nFROM base\n"
    assert last_run(text).argv == ("/bin/sh", "-c", "echo 1\n")


def test_bad_triggers_of_the_base() -> None:
    text = "FROM scratch AS a\nCOPY a /\nFROM debian\nRUN x"
    refused(text, 3, "ONBUILD", config=_with_triggers("FROM x"))
    refused(text, 3, "unknown", config=_with_triggers("RNU x"))
    refused(text, 3, "--security=insecure", config=_with_triggers("RUN --security=insecure x"))
    refused(text, 3, "stage 0, which nothing in the Dockerfile does", config=_with_triggers("COPY --from=a /a /"))
    refused(text, 3, "ONBUILD", config=_with_triggers("RUN a\nRUN b"))
    refused(text, 3, "ONBUILD", config=_with_triggers(""))
    refused("FROM debian", 1, "OnBuild", config=EnvironmentConfig(extra={"OnBuild": {"a": 1}}))
    read_needed = "FROM scratch AS a\nFROM debian\nRUN --mount=from=a,target=/mnt true"
    assert units_of(read_needed, _with_triggers("COPY --from=a /a /"))[0].text == "COPY --from=a /a /"


def test_relative_triggers_follow_the_working_directory_of_the_base() -> None:
    config = EnvironmentConfig(working_dir="/srv", extra={"OnBuild": ["COPY a b"]})
    assert last_copy("FROM debian", config)[0].target == "/srv/b"

"""Whatever a Dockerfile says, reading it gives a recipe whose records are whole, or one clear refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.building.dockerfiles.recipe import recipe_of_dockerfile
from envgit.building.record import parse_record
from envgit.building.unit import Recipe
from envgit.dockerfile.parse import parse_dockerfile
from envgit.errors import EnvgitError, UsageError
from envgit.model import EnvironmentConfig
from tests.building.dockerfile_recipes import evaluate

CORPUS = sorted((Path(__file__).parent.parent / "dockerfile/corpus").iterdir())
NAMES = """
    FROM RUN COPY ADD ENV ARG WORKDIR USER EXPOSE VOLUME LABEL CMD ENTRYPOINT SHELL STOPSIGNAL HEALTHCHECK ONBUILD MAINTAINER
"""
WORDS = (
    *("a", "b", "/", ".", "..", "$X", "${X}", "${Y:-d}", "${Z:?m}", '"q r"', "'s'", '"', "\\", "é", "\x00", "\t"),
    *(
        "--from=0",
        "--from=b",
        "--from=9",
        "--chown=a:b",
        "--chmod=9",
        "--network=none",
        "--security=insecure",
        "--link",
    ),
    *(
        "--mount=type=cache,target=/c",
        "--mount=target=$X",
        "--mount=type=secret,id=x,env=",
        "--mount=from=$X,target=/a",
    ),
    *('["x"]', "[]", "[", "<<EOF", "<<-'EOF'", "80", "80/tcp", "3-1", "scratch", "AS", "a=b", "a=$X", "CMD", "NONE"),
    *("--interval=1s", "https://h/x", "https://h/x.git", "git@h:x", "x@y", "#!x", "ENV", "RUN", "COPY", "FROM"),
)
LINES = st.builds(
    lambda name, words: f"{name} {' '.join(words)}",
    st.sampled_from(NAMES.split()),
    st.lists(st.sampled_from(WORDS), max_size=5),
)
CONFIGS = st.builds(
    EnvironmentConfig,
    env=st.sampled_from(((), (("X", "x"), ("PATH", "/bin")))),
    cmd=st.just(("c",)),
    entrypoint=st.just(()),
    working_dir=st.sampled_from(("", "/w", "relative/..")),
    user=st.sampled_from(("", "u:g")),
    extra=st.fixed_dictionaries(
        {},
        optional={
            "OnBuild": st.one_of(st.lists(LINES, max_size=2), st.just("RUN x"), st.none()),
            "Shell": st.sampled_from((["/bin/bash", "-c"], [], "sh", None)),
            "Labels": st.sampled_from(({"a": "b"}, [], None)),
        },
    ),
)


def _read(text: bytes) -> Recipe:
    dockerfile = parse_dockerfile(text, "Dockerfile")
    return recipe_of_dockerfile(dockerfile, "/context", build_args={"X": "1"}, machine="x86_64")


def _check(text: bytes, config: EnvironmentConfig) -> int:
    """Return how many units there are; each record is JSON that says what the unit does."""
    results = evaluate(_read(text), config)
    for unit in (unit for units, _ in results.values() for unit in units):
        recorded = parse_record(json.loads(json.dumps(unit.record)))
        assert (recorded.action, recorded.config) == (unit.action, unit.config)
        assert unit.text
        assert unit.origin.line
    return sum(len(units) for units, _ in results.values())


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=5), st.booleans(), CONFIGS)
def test_anything_is_a_recipe_or_refused(lines: list[str], with_end: bool, config: EnvironmentConfig) -> None:
    text = "\n".join(["FROM scratch AS b", "FROM image", *lines, *(["#!/x", "EOF"] if with_end else [])])
    try:
        _check(text.encode(), config)
    except UsageError as error:
        assert error.message.startswith("Dockerfile")


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: str(path.name))
def test_the_corpus_of_the_parser(path: Path) -> None:
    """Much of it makes no sense beyond the grammar: that is said with its line."""
    try:
        assert (
            _check(path.read_bytes(), EnvironmentConfig(env=(("HOME", "/root"),))) or path.name == "minimal.Dockerfile"
        )
    except EnvgitError as error:
        assert error.message.startswith("Dockerfile:")

"""Dockerfiles as recipes, read as the engine reads them: stage after stage, each over what its base left."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

from envgit.building.dockerfiles.recipe import recipe_of_dockerfile
from envgit.building.unit import Copy, CopyItem, Recipe, Run, ScratchBase, StageBase, Unit
from envgit.dockerfile.errors import DockerfileError
from envgit.dockerfile.parse import parse_dockerfile
from envgit.errors import UsageError
from envgit.model import EnvironmentConfig

NOTHING = EnvironmentConfig()


def read(text: str, **options: Any) -> Recipe:
    """Return the recipe of a Dockerfile on an x86_64 machine."""
    dockerfile = parse_dockerfile(dedent(text).lstrip("\n").encode(), "Dockerfile")
    return recipe_of_dockerfile(dockerfile, "/context", machine="x86_64", **options)


def evaluate(recipe: Recipe, config: EnvironmentConfig) -> dict[int, tuple[list[Unit], EnvironmentConfig]]:
    """Return the units and the last configuration of each stage; `config` is that of images and revisions."""
    results: dict[int, tuple[list[Unit], EnvironmentConfig]] = {}
    for number, stage in enumerate(recipe.stages):
        current = EnvironmentConfig() if isinstance(stage.base, ScratchBase) else config
        if isinstance(stage.base, StageBase):
            current = results[stage.base.number][1]
        units = list(stage.units(current))
        for unit in units:
            current = unit.config or current
        results[number] = (units, current)
    return results


def units_of(text: str, config: EnvironmentConfig = NOTHING, **options: Any) -> list[Unit]:
    """Return the units of the stage that is wanted."""
    recipe = read(text, **options)
    return evaluate(recipe, config)[recipe.target][0]


def config_of(text: str, config: EnvironmentConfig = NOTHING, **options: Any) -> EnvironmentConfig:
    """Return the configuration of the stage that is wanted."""
    recipe = read(text, **options)
    return evaluate(recipe, config)[recipe.target][1]


def last_run(text: str, config: EnvironmentConfig = NOTHING, **options: Any) -> Run:
    """Return what the last unit runs."""
    action = units_of(text, config, **options)[-1].action
    assert isinstance(action, Run)
    return action


def last_copy(text: str, config: EnvironmentConfig = NOTHING, **options: Any) -> tuple[CopyItem, ...]:
    """Return what the last unit copies."""
    action = units_of(text, config, **options)[-1].action
    assert isinstance(action, Copy)
    return action.items


def refused(
    text: str, line: int, says: str, config: EnvironmentConfig = NOTHING, hint: str = "", **options: Any
) -> None:
    """Check that a Dockerfile is refused with one message that names the line."""
    with pytest.raises(DockerfileError) as caught:
        units_of(text, config, **options)
    assert caught.value.message.startswith(f"Dockerfile:{line}: "), caught.value.message
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert hint in (caught.value.hint or "")


def refused_early(text: str, line: int, says: str, **options: Any) -> None:
    """Check that a Dockerfile is refused before any base is looked at."""
    with pytest.raises(UsageError) as caught:
        read(text, **options)
    assert caught.value.message.startswith(f"Dockerfile:{line}: "), caught.value.message
    assert says in caught.value.message

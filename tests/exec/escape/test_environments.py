"""No file of an environment leads what starts it out of the root, or makes it run what the environment planted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exec.escape import environments
from tests.exec.escape.environments import ENVIRONMENTS, Environment
from tests.exec.escape.stage import Stage

NAMES = [environment.name for environment in ENVIRONMENTS]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=NAMES)
def test_nothing_leads_out(probe: Path, environment: Environment) -> None:
    with Stage(probe) as stage:
        assert stage.start_environment("run", environment) == []


JOINED = [environment for environment in ENVIRONMENTS if environment.joins]


@pytest.mark.parametrize("environment", JOINED, ids=[environment.name for environment in JOINED])
def test_nothing_leads_out_when_joined(probe: Path, environment: Environment) -> None:
    with Stage(probe) as stage:
        assert stage.start_environment("exec", environment) == []


def test_the_planted_loader_is_seen(probe: Path) -> None:
    """bubblewrap executes what its arguments name, also when that is bubblewrap itself."""
    environment = next(e for e in ENVIRONMENTS if e.name == "program_is_the_runner")
    with Stage(probe) as stage:
        wrong = stage.start_environment("bwrap", environment)
        assert environments.LOADED in "".join(wrong) and "bwrap" in "".join(wrong)

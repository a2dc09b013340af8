"""Plan: what build would do and why; nothing is changed."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal, NamedTuple

from envgit.building.evaluation import Evaluation, NotWalked, Wanted, evaluating, needed_stages
from envgit.building.loading import BuildRequest, load_recipe
from envgit.building.options import BuildOptions
from envgit.building.reasons import AFTER_A_CHANGE, Reasons
from envgit.building.unit import Origin, Recipe, RevisionBase, StageBase
from envgit.errors import EnvgitError
from envgit.repo import Repository
from envgit.snapshot import Snapshot


class PlannedUnit(NamedTuple):
    """`oid`: of the commit that is reused, else "". `reason`: why it is built, or "" ."""

    stage: str
    text: str
    origin: Origin
    action: Literal["reuse", "build"]
    oid: str
    reason: str


class BuildPlan(NamedTuple):
    units: tuple[PlannedUnit, ...]

    @property
    def to_build(self) -> int:
        return sum(unit.action == "build" for unit in self.units)


def plan_recipe(repo: Repository, recipe: Recipe, options: BuildOptions) -> BuildPlan:
    """Return what building would do. Raises as build does for a recipe that cannot be carried out."""
    units: list[PlannedUnit] = []
    with evaluating(repo, recipe, options) as evaluation:
        reasons = Reasons(evaluation)
        walked: dict[str, int] = {}

        def look(wanted: Wanted) -> Snapshot | None:
            unit = wanted.unit
            text, origin = (wanted.stage.text, wanted.stage.origin) if unit is None else (unit.text, unit.origin)
            walked[wanted.stage.name] = wanted.number
            if wanted.found is None:
                units.append(PlannedUnit(wanted.stage.name, text, origin, "build", "", reasons.why(wanted)))
                return None
            oid = wanted.found.oid.hex()
            units.append(PlannedUnit(wanted.stage.name, text, origin, "reuse", oid, ""))
            return wanted.found

        with suppress(NotWalked):
            evaluation.walk(look)
        units += _rest(evaluation, recipe, walked)
    return BuildPlan(tuple(units))


def _rest(evaluation: Evaluation, recipe: Recipe, walked: dict[str, int]) -> list[PlannedUnit]:
    """Return what comes after the first unit that has to be built: all of it has to be, as its parent changes."""
    rest = []
    for number in needed_stages(recipe):
        stage = recipe.stages[number]
        if number in evaluation.results:
            continue
        seen = walked.get(stage.name, -1)
        if seen < 0 and not isinstance(stage.base, StageBase | RevisionBase):
            rest.append(PlannedUnit(stage.name, stage.text, stage.origin, "build", "", AFTER_A_CHANGE))
        with suppress(EnvgitError):  # units that cannot be told before their base is known
            for unit in evaluation.units_of(stage, None)[max(seen, 0) :]:
                rest.append(PlannedUnit(stage.name, unit.text, unit.origin, "build", "", AFTER_A_CHANGE))
    return rest


def plan_environment(repo: Repository, request: BuildRequest) -> BuildPlan:
    """Return what building what a file declares would do. Raises as load_recipe() and build do."""
    return plan_recipe(repo, load_recipe(repo, request).recipe, request.options)

"""Plan: what build would do and why; nothing is changed."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal, NamedTuple

from envgit.building.evaluation import Evaluation, NotWalked, Wanted, evaluating, needed_stages
from envgit.building.from_step import FromNumber
from envgit.building.landing import Course, Place
from envgit.building.loading import BuildRequest, load_recipe
from envgit.building.options import BuildOptions
from envgit.building.reasons import ASKED_FOR, Reasons
from envgit.building.unit import Origin, Recipe, RevisionBase, StageBase
from envgit.errors import Conflict, EnvgitError
from envgit.repo import Repository
from envgit.snapshot import Snapshot, read_snapshot


class PlannedUnit(NamedTuple):
    """`oid`: of the commit that is reused, else "". `reason`: why it is built, or "" ."""

    stage: str
    text: str
    origin: Origin
    action: Literal["reuse", "build"]
    oid: str
    reason: str


class BuildPlan(NamedTuple):
    """`branch`: the one that the result lands on, None: a detached HEAD; `course`: where it goes."""

    units: tuple[PlannedUnit, ...]
    branch: str | None = None
    course: Course = Course()

    @property
    def to_build(self) -> int:
        return sum(unit.action == "build" for unit in self.units)


def plan_recipe(repo: Repository, recipe: Recipe, options: BuildOptions) -> BuildPlan:
    """Return what building would do; warns of uncommitted changes that keep it from that. Raises as build does for a recipe that
    cannot be carried out."""
    place, from_number = Place(repo, options.branch), FromNumber(options)
    units: list[PlannedUnit] = []
    with evaluating(repo, recipe, from_number.options) as evaluation:
        reasons = Reasons(evaluation)
        last: list[Wanted] = []

        def look(wanted: Wanted) -> Snapshot | None:
            wanted = from_number.apply(wanted, len(units) + 1, evaluation)
            unit, found = wanted.unit, wanted.found
            text, origin = (wanted.stage.text, wanted.stage.origin) if unit is None else (unit.text, unit.origin)
            last[:] = [wanted]
            if found is None:
                units.append(PlannedUnit(wanted.stage.name, text, origin, "build", "", reasons.why(wanted)))
                return None
            units.append(PlannedUnit(wanted.stage.name, text, origin, "reuse", found.oid.hex(), ""))
            return found

        result = None
        with suppress(NotWalked):
            result = evaluation.walk(look)
        is_final = result is not None
        if result is None:
            units += _rest(evaluation, recipe, reasons, last[0] if last else None)
            result = _reached(evaluation, recipe.target, last[0] if last else None)
        from_number.check(len(units))
        names = [recipe.stages[number].name for number in needed_stages(recipe)]
        course = place.foresee(result, names, final=is_final)
    plan = BuildPlan(tuple(units), place.branch, course)
    if plan.to_build or course.move != "stay":
        try:
            place.refuse_dirty()
        except Conflict as error:
            repo.monitor.warn(f"build would refuse: {error.message}")
    return plan


def _rest(evaluation: Evaluation, recipe: Recipe, reasons: Reasons, last: Wanted | None) -> list[PlannedUnit]:
    """Return what comes after the first unit that has to be built: all of it has to be, as its parent changes."""
    rest = []
    options = evaluation.options
    # Of the packages that an update makes again the others are none.
    is_forced = last is not None and last.forced and options.update is None
    for number in needed_stages(recipe):
        stage = recipe.stages[number]
        if number in evaluation.results:
            continue
        seen = last.number if last is not None and last.stage is stage else -1
        if seen < 0 and not isinstance(stage.base, StageBase | RevisionBase):
            why = ASKED_FOR if is_forced else reasons.foretell(stage, None)
            rest.append(PlannedUnit(stage.name, stage.text, stage.origin, "build", "", why))
        with suppress(EnvgitError):  # units that cannot be told before their base is known
            for unit in evaluation.units_of(stage, evaluation.bases.get(number))[max(seen, 0) :]:
                why = ASKED_FOR if is_forced else reasons.foretell(stage, unit)
                rest.append(PlannedUnit(stage.name, unit.text, unit.origin, "build", "", why))
    return rest


def _reached(evaluation: Evaluation, number: int, last: Wanted | None) -> Snapshot | None:
    """Return the last commit that a stage has already, None when not even its base is there."""
    stage = evaluation.recipe.stages[number]
    if number in evaluation.results:
        return evaluation.results[number]
    if last is not None and last.stage is stage:
        return last.found or last.parent
    if isinstance(stage.base, StageBase):
        return _reached(evaluation, stage.base.number, last)
    if isinstance(stage.base, RevisionBase):
        return read_snapshot(evaluation.repo.objects, evaluation.repo.resolve_bytes(stage.base.revision))
    return None


def plan_environment(repo: Repository, request: BuildRequest) -> BuildPlan:
    """Return what building what a file declares would do. Raises as load_recipe() and build do."""
    return plan_recipe(repo, load_recipe(repo, request).recipe, request.options)

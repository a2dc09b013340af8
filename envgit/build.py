"""Build: a recipe becomes commits, as far as history does not have them, and the result the tip of a branch."""

from __future__ import annotations

from typing import NamedTuple

from envgit.building.evaluation import Evaluation, evaluating
from envgit.building.landing import Landing, Place
from envgit.building.making import BuiltUnit, Maker
from envgit.building.options import BuildOptions
from envgit.building.progress import BuildProgress, SilentProgress
from envgit.building.unit import Recipe
from envgit.errors import EnvgitError
from envgit.repo import Repository
from envgit.snapshot import Snapshot


class BuildResult(NamedTuple):
    """`oid`: the last commit of the build; `landing`: where the branch is; `base`: the commit of the target's base."""

    oid: str
    units: tuple[BuiltUnit, ...]
    landing: Landing

    @property
    def built(self) -> int:
        return sum(not unit.reused for unit in self.units)


def build_recipe(
    repo: Repository, recipe: Recipe, options: BuildOptions, progress: BuildProgress | None = None
) -> BuildResult:
    """Carry out a recipe. Each unit is durable as soon as it is done; the branch moves once, at the end.

    When a step fails, the branch goes on to the last good commit where that leads forward, and refs/envgit/failed is what the
    step left. Raises StepFailed; Conflict for uncommitted changes; UsageError, UnknownPath, SourceError for a recipe that cannot be
    carried out; and what the sandbox raises.
    """
    place = Place(repo, options.branch)
    name = recipe.stages[recipe.target].name
    with evaluating(repo, recipe, options) as evaluation:
        maker = Maker(evaluation, progress or SilentProgress(), place.refuse_dirty)
        try:
            result = evaluation.walk(maker.make)
        except EnvgitError:
            if maker.built:
                place.stay(maker.last_of_target, _chains(evaluation, maker), maker.failed, name)
            raise
        assert result is not None
        landing = place.land(result, _chains(evaluation, maker), None, name)
    return BuildResult(result.oid.hex(), tuple(maker.built), landing)


def _chains(evaluation: Evaluation, maker: Maker) -> dict[str, Snapshot]:
    """Return the last commit of each stage, also of the one that was not finished, by name."""
    stages = evaluation.recipe.stages
    found = {stages[number].name: snapshot for number, snapshot in evaluation.results.items()}
    if maker.stage is not None and maker.last is not None and maker.stage.name not in found:
        found[maker.stage.name] = maker.last
    return found

"""Build: a recipe becomes commits, as far as history does not have them, and the result the tip of a branch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from envgit.building.evaluation import Evaluation, evaluating
from envgit.building.from_step import FromNumber
from envgit.building.holding import holding
from envgit.building.landing import Landing, Place, Stopped
from envgit.building.loading import BuildRequest, load_recipe
from envgit.building.making import BuiltUnit, Maker
from envgit.building.options import BuildOptions
from envgit.building.progress import BuildProgress, SilentProgress
from envgit.building.reasons import builds_ref
from envgit.building.unit import Recipe
from envgit.errors import EnvgitError
from envgit.repo import Repository
from envgit.snapshot import Snapshot


class BuildResult(NamedTuple):
    """`oid`: the last commit of the build; `base`: the commit of the target's base; `landing`: where the branch is.

    `digest`: of the image that the base was, else "". `lock`: the path of the envgit.lock that was written, "" when it did
    not change or there is none.
    """

    oid: str
    base: str
    units: tuple[BuiltUnit, ...]
    landing: Landing
    digest: str = ""
    lock: str = ""
    is_first_lock: bool = False
    """There was none before."""

    @property
    def built(self) -> int:
        """How many units were carried out."""
        return sum(not unit.reused for unit in self.units)


Check = Callable[[Snapshot, Snapshot], None]
"""Gets the base and the result before the branch moves; what it raises keeps it from that."""


def build_environment(repo: Repository, request: BuildRequest, progress: BuildProgress | None = None) -> BuildResult:
    """Build what a file declares and write envgit.lock. Raises as load_recipe() and build_recipe() do, and with
    `options.locked` Conflict, before anything changed, when the result is not what the lock says."""
    from envgit.building.locking import check_locked, lock_environment, write_lock

    loaded = load_recipe(repo, request)
    locked = loaded.locked if request.options.locked else None

    def check(base: Snapshot, result: Snapshot) -> None:
        if locked is not None:
            check_locked(repo, locked, base, result)

    result = build_recipe(repo, loaded.recipe, request.options, progress, check)
    if loaded.environment is None or request.options.locked:
        return result
    made = lock_environment(repo, loaded, result.base, result.oid, result.digest)
    path = loaded.lock_path if write_lock(loaded, made) else ""
    return result._replace(lock=path, is_first_lock=loaded.lock is None)


def build_recipe(
    repo: Repository,
    recipe: Recipe,
    options: BuildOptions,
    progress: BuildProgress | None = None,
    check: Check = lambda base, result: None,
) -> BuildResult:
    """Carry out a recipe. Each unit is durable as soon as it is done; the branch moves once, at the end.

    When a step fails, the branch goes on to the last good commit where that leads forward, and refs/envgit/failed is what the
    step left. Raises StepFailed; Conflict for uncommitted changes; UsageError, UnknownPath, SourceError for a recipe that cannot be
    carried out; and what the sandbox raises.
    """
    place = Place(repo, options.branch)
    name = recipe.stages[recipe.target].name
    progress, from_number = progress or SilentProgress(), FromNumber(options)
    with holding(repo), evaluating(repo, recipe, from_number.options) as evaluation:
        maker = Maker(evaluation, progress, place.refuse_dirty, from_number)
        try:
            result = evaluation.walk(maker.make)
        except EnvgitError:
            if maker.built or maker.failed is not None:
                landing = place.stay(maker.last_of_target, _chains(evaluation, maker), maker.failed, name)
                progress.stopped(_stopped(landing, evaluation, maker))
            raise
        from_number.check(len(maker.built))
        assert result is not None
        base, chains = evaluation.bases[recipe.target], _chains(evaluation, maker)
        try:
            check(base, result)
            landing = place.land(result, chains, None, name)
        except EnvgitError:
            if any(not unit.reused for unit in maker.built):
                place.keep(chains, name)
            raise
    for id in sorted(options.secrets.keys() - maker.secrets):
        repo.monitor.note(f"--secret id={id}: no step of the build names it")
    return BuildResult(result.oid.hex(), base.oid.hex(), tuple(maker.built), landing, evaluation.digests.get(name, ""))


def _chains(evaluation: Evaluation, maker: Maker) -> dict[str, Snapshot]:
    """Return the last commit of each stage, also of the one that was not finished, by name."""
    stages = evaluation.recipe.stages
    found = {stages[number].name: snapshot for number, snapshot in evaluation.results.items()}
    if maker.stage is not None and maker.last is not None and maker.stage.name not in found:
        found[maker.stage.name] = maker.last
    return found


def _stopped(landing: Landing, evaluation: Evaluation, maker: Maker) -> Stopped:
    built = sum(not unit.reused for unit in maker.built)
    good = maker.last.oid.hex() if maker.last is not None else ""
    ref = builds_ref(maker.stage.name) if maker.stage is not None else ""
    return Stopped(landing, built, len(maker.built) - built, max(evaluation.count, len(maker.built)), good, ref)

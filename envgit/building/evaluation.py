"""Walk a recipe: for each stage that is needed its base, then its units, each looked for in history first.

The walk is the same for `build`, which makes what is missing, and `plan`, which stops at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from envgit.building.bases import NewBase, open_base
from envgit.building.build_index import FOLDER, Accept, BuildIndex
from envgit.building.files.context import ContextFolder, digest_inputs
from envgit.building.files.copying import Sources, digest_copy, digest_mount
from envgit.building.files.downloading import Downloads
from envgit.building.key import unit_key
from envgit.building.options import BuildOptions, find_step
from envgit.building.package_sets.packages_file import read_packages
from envgit.building.unit import (
    Copy,
    FileSource,
    Recipe,
    RevisionBase,
    Run,
    SourceBase,
    Stage,
    StageBase,
    TreeMount,
    Unit,
    located,
)
from envgit.environment_config import parse_config
from envgit.errors import EnvgitError, UsageError
from envgit.model import DirectoryRef, EnvironmentConfig
from envgit.repo import Repository
from envgit.snapshot import Snapshot, read_config_bytes, read_snapshot


class Wanted(NamedTuple):
    """Something that history has (`found`) or has not. Without a `unit` it is a stage's base."""

    stage: Stage
    number: int
    """Of the stage's commits, from 0, its base."""
    unit: Unit | None
    parent: Snapshot | None
    key: bytes
    inputs: tuple[bytes, ...]
    found: Snapshot | None
    forced: bool
    """The user wants it to be made again."""
    base: NewBase | None = None


Make = Callable[[Wanted], Snapshot | None]
"""Makes what is missing, or adopts what was found; None: not now, and the walk ends there."""


class Evaluation:
    """One walk. `results`, `bases`: the last and the base's commit of each stage that was walked, by number."""

    def __init__(self, repo: Repository, recipe: Recipe, options: BuildOptions, context: ContextFolder) -> None:
        self.repo = repo
        self.recipe = recipe
        self.options = options
        self.index = BuildIndex(repo)
        self.results: dict[int, Snapshot] = {}
        self.bases: dict[int, Snapshot] = {}
        self.digests: dict[str, str] = {}
        """What the images of stages are, by the stage's name."""
        self._counts: dict[int, int] = {}
        downloads = Downloads(repo.path(FOLDER, "downloads"), repo.environ, repo.monitor)
        now_ns = repo.now() * 1_000_000_000
        self.sources = Sources(context, self._tree_of, repo.reader, downloads, now_ns, repo.monitor)
        self._context = context
        self._images: dict[FileSource, Snapshot] = {}
        self._make: Make = lambda wanted: None

    def walk(self, make: Make) -> Snapshot | None:
        """Evaluate the stages that the target needs; return its result, or None when `make` ended the walk."""
        self._make = make
        numbers = needed_stages(self.recipe)
        self._counts = {number: self._count(number, None) for number in numbers}
        for number in numbers:
            result = self._walk_stage(number)
            if result is None:
                return None
            self.results[number] = result
        return self.results[self.recipe.target]

    @property
    def count(self) -> int:
        """How many commits the walk has; less of stages whose base, not known yet, brings units of its own."""
        return sum(self._counts.values())

    def _count(self, number: int, base: Snapshot | None) -> int:
        stage = self.recipe.stages[number]
        makes_base = not isinstance(stage.base, StageBase | RevisionBase)
        try:
            return makes_base + len(self.units_of(stage, base))
        except EnvgitError:  # what the units need to know of their base is not known yet; or it is said in its turn
            return makes_base

    def units_of(self, stage: Stage, base: Snapshot | None) -> Sequence[Unit]:
        """Return the units of a stage over its base; over an empty configuration when that is not known yet."""
        config = EnvironmentConfig() if base is None else parse_config(read_config_bytes(self.repo.objects, base))
        return stage.units(config)

    def _walk_stage(self, number: int) -> Snapshot | None:
        stage = self.recipe.stages[number]
        tip = self._base(stage)
        if tip is None:
            return None
        self.bases[number] = tip
        units = self.units_of(stage, tip)
        self._counts[number] = self._count(number, tip)
        forced_from = self._forced_from(number, units)
        for index, unit in enumerate(units):
            with located(unit.origin):
                inputs = self._digests(unit)
            key = unit_key(unit.record, tip, inputs, self.recipe.epoch)
            forced = index >= forced_from or (self.options.update is not None and _installs(unit))
            found = None if forced else self.index.find(key, tip.oid, self._accept(unit))
            tip = self._make(Wanted(stage, index + 1, unit, tip, key, inputs, found, forced))
            if tip is None:
                return None
        return tip

    def _forced_from(self, number: int, units: Sequence[Unit]) -> int:
        if self.options.no_cache:
            return 0
        if self.options.from_step and number == self.recipe.target:
            return find_step([unit.text for unit in units], self.options.from_step)
        return len(units)

    def _base(self, stage: Stage) -> Snapshot | None:
        base = stage.base
        if isinstance(base, StageBase):
            return self.results[base.number]
        if isinstance(base, RevisionBase):
            return read_snapshot(self.repo.objects, self.repo.resolve_bytes(base.revision))
        new = open_base(
            self.repo,
            base,
            self.recipe.context,
            self.recipe.epoch,
            pull=self.options.pull,
            digest=self.recipe.base_digest,
        )
        self.digests[stage.name] = new.digest
        forced = self.options.no_cache
        found = None if forced else self.index.find(new.key, None)
        return self._make(Wanted(stage, 0, None, None, new.key, (), found, forced, new))

    def _digests(self, unit: Unit) -> tuple[bytes, ...]:
        action = unit.action
        if isinstance(action, Copy):
            return (digest_copy(self.sources, action.items),)
        if isinstance(action, Run):
            inputs = [digest_inputs(self._context, action.inputs)] if action.inputs else []
            trees = [each for each in action.mounts if isinstance(each, TreeMount)]
            return (*inputs, *(digest_mount(self.sources, each) for each in trees))
        return ()

    def _accept(self, unit: Unit) -> Accept:
        """A package unit has one key whatever versions it found: with pins only a commit that has those will do."""
        pins = self.recipe.pins
        if pins is None or not _installs(unit):
            return lambda snapshot: True
        return lambda snapshot: pins.issuperset(read_packages(self.repo, snapshot).splitlines())

    def _tree_of(self, source: FileSource) -> DirectoryRef:
        if isinstance(source, StageBase):
            return self.results[source.number].root
        if isinstance(source, RevisionBase):
            return read_snapshot(self.repo.objects, self.repo.resolve_bytes(source.revision)).root
        assert isinstance(source, SourceBase)
        if source not in self._images:
            stage = Stage(source.source, source.source, self.recipe.stages[0].origin, source, lambda config: ())
            found = self._base(stage)
            if found is None:
                raise NotWalked(source.source)
            self._images[source] = found
        return self._images[source].root


def _installs(unit: Unit) -> bool:
    return isinstance(unit.action, Run) and bool(unit.action.packages)


class NotWalked(UsageError):
    """A plan needs files of an image that is not in the repository."""

    def __init__(self, source: str) -> None:
        super().__init__(f"{source} is not in the repository yet", hint="envgit build fetches it")


def needed_stages(recipe: Recipe) -> list[int]:
    """Return the numbers of the stages that the target needs, in order, itself last."""
    needed = {recipe.target}
    for number in range(recipe.target, -1, -1):
        if number in needed:
            needed.update(recipe.stages[number].needs)
    return sorted(needed)


@contextmanager
def evaluating(repo: Repository, recipe: Recipe, options: BuildOptions) -> Iterator[Evaluation]:
    """Open the recipe's context for one evaluation."""
    with ContextFolder.open_(recipe.context, recipe.ignore, repo.path(FOLDER, "inputs"), repo.monitor) as context:
        yield Evaluation(repo, recipe, options, context)

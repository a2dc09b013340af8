"""Walk a recipe: for each stage that is needed its base, then its units, each looked for in history first.

The walk is the same for `build`, which makes what is missing, and `plan`, which stops at it.
"""

from __future__ import annotations

import re
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
    Context,
    Copy,
    FileSource,
    Recipe,
    RevisionBase,
    Run,
    ScratchBase,
    SourceBase,
    Stage,
    StageBase,
    TreeMount,
    Unit,
    located,
)
from envgit.environment_config import parse_config
from envgit.errors import EnvgitError, UnknownRevision, UsageError
from envgit.model import DirectoryRef, EnvironmentConfig
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.snapshot import Snapshot, read_config_bytes, read_snapshot

_REVISION_OPERATORS = re.compile(r"[~^@{:]")


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
        self._copies: dict[Copy, bytes] = {}
        self._inputs: dict[tuple[str, ...], bytes] = {}
        self._images: dict[FileSource, Snapshot] = {}
        self._make: Make = lambda wanted: None

    def walk(self, make: Make) -> Snapshot | None:
        """Evaluate the stages that the target needs; return its result, or None when `make` ended the walk."""
        self._make = make
        numbers = needed_stages(self.recipe)
        for number in numbers:
            self._refuse_own_branch(self.recipe.stages[number])
        self._counts = {number: self._count(number, None) for number in numbers}
        self._look_at_context(numbers)
        for number in numbers:
            result = self._walk_stage(number)
            if result is None:
                return None
            self.results[number] = result
        return self.results[self.recipe.target]

    def _refuse_own_branch(self, stage: Stage) -> None:
        """A base that is the branch which the result lands on would be another one for each build, without end."""
        if not isinstance(stage.base, RevisionBase):
            return
        branch = self.options.branch or self.repo.branch_name()
        names = {branch, f"{BRANCH_PREFIX}{branch}"} | ({"HEAD", "@", ""} if self.options.branch is None else set())
        if branch is not None and _REVISION_OPERATORS.split(stage.base.revision, maxsplit=1)[0] in names:
            raise UsageError(
                f"{stage.origin}: the base {stage.base.revision!r} is the branch that the result lands on",
                hint="build onto another one: --branch NAME; or name a commit or a tag as the base",
            )

    def _look_at_context(self, numbers: Sequence[int]) -> None:
        """Digest what units need of the context, before anything is made: a file that is missing is said at once.

        Not of a stage whose base decides which files those are (COPY $APP) and is not known yet.
        """
        for number in numbers:
            stage = self.recipe.stages[number]
            if not stage.knows_files and not isinstance(stage.base, RevisionBase | ScratchBase):
                continue
            with located(stage.origin):
                base = self._read_revision(stage.base.revision) if isinstance(stage.base, RevisionBase) else None
            for unit in self.units_of(stage, base):
                with located(unit.origin):
                    if isinstance(unit.action, Copy) and all(isinstance(i.source, Context) for i in unit.action.items):
                        self._digest_copy(unit.action)
                    elif isinstance(unit.action, Run) and unit.action.inputs:
                        self._digest_inputs(unit.action)

    def _digest_copy(self, copy: Copy) -> bytes:
        if copy not in self._copies:
            self._copies[copy] = digest_copy(self.sources, copy.items)
        return self._copies[copy]

    def _digest_inputs(self, run: Run) -> bytes:
        if run.inputs not in self._inputs:
            self._inputs[run.inputs] = digest_inputs(self._context, run.inputs)
        return self._inputs[run.inputs]

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
        with located(stage.origin):
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
            return self._read_revision(base.revision)
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

    def _read_revision(self, revision: str) -> Snapshot:
        try:
            return read_snapshot(self.repo.objects, self.repo.resolve_bytes(revision))
        except UnknownRevision as error:
            image = f"an image is written docker://{revision}" if ":" in revision else None
            raise UnknownRevision(error.message, hint=image or error.hint) from error

    def _digests(self, unit: Unit) -> tuple[bytes, ...]:
        action = unit.action
        if isinstance(action, Copy):
            return (self._digest_copy(action),)
        if isinstance(action, Run):
            inputs = [self._digest_inputs(action)] if action.inputs else []
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
            return self._read_revision(source.revision).root
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

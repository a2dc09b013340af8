"""Make what a recipe wants: what history has is adopted, the rest is carried out; each unit a commit on top of the one before."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from envgit.building.evaluation import Evaluation, Wanted
from envgit.building.from_step import FromNumber
from envgit.building.progress import BuildProgress, Position
from envgit.building.reasons import INPUTS_KEY, Reasons
from envgit.building.stamp import Stamp, Written
from envgit.building.unit import Origin, Record, RevisionBase, Run, SecretMount, Stage, located
from envgit.environment_config import parse_config
from envgit.snapshot import Snapshot, read_config_bytes


class BuiltUnit(NamedTuple):
    """`reason`: why it was built, "" when it was reused. `seconds`: wall time of building it."""

    text: str
    origin: Origin
    oid: str
    reused: bool
    reason: str
    seconds: float


class Maker:
    """Makes units for one evaluation. `built`: what was done, in order; `failed`: the broken state of the step that failed."""

    def __init__(
        self, evaluation: Evaluation, progress: BuildProgress, before: Callable[[], None], from_number: FromNumber
    ) -> None:
        """`before` is called before anything is carried out; it may raise."""
        self._evaluation = evaluation
        self._repo = evaluation.repo
        self._recipe = evaluation.recipe
        self._progress = progress
        self._before = before
        self._from_number = from_number
        self._reasons = Reasons(evaluation)
        self.stage: Stage | None = None
        self.built: list[BuiltUnit] = []
        self.last: Snapshot | None = None
        """The last good commit of the stage that is being walked."""
        self.failed: Snapshot | None = None
        self.secrets: set[str] = set()
        """The ids that steps name."""

    def make(self, wanted: Wanted) -> Snapshot:
        """Return the commit of what is wanted, reused or new. Raises StepFailed, and what the parts raise."""
        position = self._position(wanted)
        wanted = self._from_number.apply(wanted, position.number, self._evaluation)
        self.stage = wanted.stage
        is_first = wanted.number == 1 and isinstance(wanted.stage.base, RevisionBase)
        self.last = None if is_first else wanted.parent
        self.secrets.update(_secrets(wanted))
        if wanted.found is not None:
            self.last = self._adopt(wanted, wanted.found)
            self._progress.reused(position, self.last.oid.hex())
            self.built.append(BuiltUnit(position.text, position.origin, self.last.oid.hex(), True, "", 0.0))
            return self.last
        self._before()
        reason = self._reasons.why(wanted)
        self._progress.started(position, reason)
        started = time.monotonic()
        with located(position.origin):
            self.last = self._known(wanted, self._carry_out(wanted))
        seconds = time.monotonic() - started
        self._evaluation.index.add(wanted.key, self.last.oid)
        self._progress.done(position, self.last.oid.hex(), seconds)
        self.built.append(BuiltUnit(position.text, position.origin, self.last.oid.hex(), False, reason, seconds))
        return self.last

    @property
    def last_of_target(self) -> Snapshot | None:
        """The last good commit, when it is the target stage's."""
        return self.last if self.stage is self._recipe.stages[self._recipe.target] else None

    def _position(self, wanted: Wanted) -> Position:
        text = wanted.unit.text if wanted.unit is not None else wanted.stage.text
        origin = wanted.unit.origin if wanted.unit is not None else wanted.stage.origin
        stage = wanted.stage.name if len(self._recipe.stages) > 1 else ""
        return Position(len(self.built) + 1, self._evaluation.count, stage, text, origin)

    def _adopt(self, wanted: Wanted, found: Snapshot) -> Snapshot:
        """Return the commit that was found, on top of this chain: it may have been built on another one with the same files."""
        if wanted.parent is None or found.commit.parents == (wanted.parent.oid,):
            return found  # a base lies on nothing, or on the layers of its image
        from envgit.building.recording import record_tree

        config = parse_config(read_config_bytes(self._repo.objects, found))
        stamp = self._stamp(wanted)._replace(config=config)
        again = record_tree(self._repo, wanted.parent, stamp, lambda writer: Written(found.root))
        self._evaluation.index.add(wanted.key, again.oid)
        return again

    def _known(self, wanted: Wanted, made: Snapshot) -> Snapshot:
        """Return the commit that was there before, when building it again gave nothing else."""
        if not wanted.forced:
            return made
        parent = None if wanted.parent is None else wanted.parent.oid
        same = self._evaluation.index.find(wanted.key, parent, lambda each: each.commit.tree == made.commit.tree)
        return same if same is not None and same.commit.parents == made.commit.parents else made

    def _stamp(self, wanted: Wanted) -> Stamp:
        unit = wanted.unit
        if unit is None:
            assert wanted.base is not None
            stage, files, epoch = wanted.stage, self._recipe.files, self._recipe.epoch
            return Stamp(stage.text, wanted.base.record, wanted.key, files, None, epoch, stage.name)
        record: Record = unit.record
        if wanted.inputs:
            record = {**record, INPUTS_KEY: [each.hex() for each in wanted.inputs]}
        files, epoch = self._recipe.files, self._recipe.epoch
        return Stamp(unit.text, record, wanted.key, files, unit.config, epoch, wanted.stage.name)

    def _carry_out(self, wanted: Wanted) -> Snapshot:
        from envgit.building.carrying_out import Worker  # most builds find everything in history

        worker = Worker(self._evaluation)
        try:
            return worker.carry_out(wanted, self._stamp(wanted))
        finally:
            self.failed = worker.failed


def _secrets(wanted: Wanted) -> set[str]:
    action = wanted.unit.action if wanted.unit is not None else None
    mounts = action.mounts if isinstance(action, Run) else ()
    return {mount.id for mount in mounts if isinstance(mount, SecretMount)}

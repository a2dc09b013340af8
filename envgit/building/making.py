"""Make what a recipe wants and history does not have: each unit becomes a commit on top of the one before."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from envgit.building.context import make_input_tree
from envgit.building.copying import apply_copy, make_mount_tree
from envgit.building.evaluation import Evaluation, Wanted
from envgit.building.progress import BuildProgress, Position
from envgit.building.reasons import INPUTS_KEY, Reasons
from envgit.building.recording import Stamp, Written, record_tree, record_upper
from envgit.building.step import Trees, run_step
from envgit.building.unit import Copy, Origin, Record, Run, Stage, TreeMount, Unit
from envgit.environment_config import parse_config
from envgit.errors import EnvgitError, StepFailed
from envgit.model import DirectoryRef, EnvironmentConfig, TreeWriter
from envgit.sandbox.running import new_id, remove_sandbox_folder, sandbox_upper
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

    def __init__(self, evaluation: Evaluation, progress: BuildProgress, before: Callable[[], None]) -> None:
        """`before` is called before anything is carried out; it may raise."""
        self._evaluation = evaluation
        self._repo = evaluation.repo
        self._recipe = evaluation.recipe
        self._progress = progress
        self._before = before
        self._reasons = Reasons(evaluation)
        self.stage: Stage | None = None
        self.built: list[BuiltUnit] = []
        self.last: Snapshot | None = None
        """The last good commit of the stage that is being walked."""
        self.failed: Snapshot | None = None

    def make(self, wanted: Wanted) -> Snapshot:
        """Return the commit of what is wanted, reused or new. Raises StepFailed, and what the parts raise."""
        position = self._position(wanted)
        self.stage = wanted.stage
        if wanted.found is not None:
            self.last = self._adopt(wanted, wanted.found)
            self._progress.reused(position, self.last.oid.hex())
            self.built.append(BuiltUnit(position.text, position.origin, self.last.oid.hex(), True, "", 0.0))
            return self.last
        self._before()
        reason = self._reasons.why(wanted)
        self._progress.started(position, reason)
        started = time.monotonic()
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
        parents = () if wanted.parent is None else (wanted.parent.oid,)
        if found.commit.parents == parents:
            return found
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
            return Stamp(
                wanted.stage.text, wanted.base.record, wanted.key, self._recipe.files, None, self._recipe.epoch
            )
        record: Record = unit.record
        if wanted.inputs:
            record = {**record, INPUTS_KEY: [each.hex() for each in wanted.inputs]}
        return Stamp(unit.text, record, wanted.key, self._recipe.files, unit.config, self._recipe.epoch)

    def _carry_out(self, wanted: Wanted) -> Snapshot:
        stamp, parent, unit = self._stamp(wanted), wanted.parent, wanted.unit
        if unit is None:
            assert wanted.base is not None
            return record_tree(self._repo, None, stamp, wanted.base.write)
        assert parent is not None
        action = unit.action
        if isinstance(action, Run):
            return self._run(unit, action, parent, stamp)
        if isinstance(action, Copy):
            items, sources, reader = action.items, self._evaluation.sources, self._repo.reader

            def copy(writer: TreeWriter) -> Written:
                root = apply_copy(sources, items, parent.root, reader, writer, self._recipe.epoch)
                return Written(root)

            return record_tree(self._repo, parent, stamp, copy)
        return record_tree(self._repo, parent, stamp, None)

    def _run(self, unit: Unit, run: Run, parent: Snapshot, stamp: Stamp) -> Snapshot:
        repo, options = self._repo, self._evaluation.options
        id = new_id()
        try:
            trees = Trees(lambda: self._input_tree(run), self._mounted_tree)
            status, packages = run_step(repo, unit, run, parent.oid, id, options, self._recipe.epoch, trees)
            upper = sandbox_upper(repo, id).upper
            if status == 0:
                return record_upper(repo, upper, parent, stamp, packages)
            self._keep_failed(unit, run, parent, stamp, upper)
        finally:
            remove_sandbox_folder(repo, id)
        where = f"{unit.origin}: " if unit.origin.line else ""
        raise StepFailed(
            f"{where}the step ended with status {status}: {unit.text.strip().splitlines()[0]}",
            status=status,
            hint="look at what it left: envgit shell --failed" if self.failed is not None else None,
        )

    def _keep_failed(self, unit: Unit, run: Run, parent: Snapshot, stamp: Stamp, upper: str) -> None:
        """Make a commit of what a failed step left, with the variables, folder and user that it had."""
        config = parse_config(read_config_bytes(self._repo.objects, parent))
        config = config._replace(
            env=tuple({**dict(config.env), **dict(run.env)}.items()),
            working_dir=run.workdir or config.working_dir,
            user=run.user or config.user,
            entrypoint=(),
            cmd=("/bin/sh",),
        )
        kept = stamp._replace(text=f"failed: {unit.text}", key=None, config=config)
        try:
            self.failed = record_upper(self._repo, upper, parent, kept)
        except (EnvgitError, OSError) as error:
            self._repo.monitor.warn(f"what the failed step left could not be kept: {error}")

    def _input_tree(self, run: Run) -> str:
        sources = self._evaluation.sources
        epoch = self._recipe.epoch
        return self._dangling("inputs", lambda writer: make_input_tree(sources.context, run.inputs, writer, epoch))

    def _dangling(self, what: str, write: Callable[[TreeWriter], DirectoryRef]) -> str:
        """Make a commit that only this build mounts; no ref keeps it."""
        stamp = Stamp(f"{what} of a build step", {}, None, (), EnvironmentConfig(), self._recipe.epoch)
        return record_tree(self._repo, None, stamp, lambda writer: Written(write(writer))).oid.hex()

    def _mounted_tree(self, mount: TreeMount) -> str:
        sources = self._evaluation.sources
        return self._dangling("mounted", lambda writer: make_mount_tree(sources, mount, writer, self._recipe.epoch))

"""Carry out one unit that history does not have: import a base, run a step, copy files, set the configuration."""

from __future__ import annotations

import os
from collections.abc import Callable

from envgit.building.caller_network import is_proxy
from envgit.building.evaluation import Evaluation, Wanted
from envgit.building.files.context import make_input_tree
from envgit.building.files.copying import apply_copy, make_mount_tree, mounted_file
from envgit.building.recording import record_tree, record_upper, shorten
from envgit.building.stamp import Stamp, Written
from envgit.building.step import Trees, run_step
from envgit.building.unit import Copy, Run, TreeMount, Unit
from envgit.environment_config import parse_config
from envgit.errors import EnvgitError, HostUnsupported, SandboxError, StepFailed
from envgit.model import DirectoryRef, EnvironmentConfig, TreeWriter
from envgit.sandbox.running import new_id, remove_sandbox_folder, sandbox_upper
from envgit.snapshot import Snapshot, read_config_bytes

_HINT = "correct it: envgit build goes on there"


class Worker:
    """Does it for an evaluation. `failed`: the commit of what a failed step left."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._repo = evaluation.repo
        self._recipe = evaluation.recipe
        self.failed: Snapshot | None = None

    def carry_out(self, wanted: Wanted, stamp: Stamp) -> Snapshot:
        """Return the commit of a unit or base. Raises StepFailed, and what the parts raise."""
        parent, unit = wanted.parent, wanted.unit
        if unit is None:
            assert wanted.base is not None
            if wanted.base.open_image is not None:
                from envgit.building.image_base import record_image

                return record_image(self._repo, stamp, wanted.base.open_image)
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
            try:
                status, packages = run_step(repo, unit, run, parent.oid, id, options, self._recipe.epoch, trees)
            except HostUnsupported:
                raise
            except SandboxError as error:  # no such program, user or folder
                raise StepFailed(error.message, status=error.exit_code, hint=error.hint or _HINT) from error
            upper = sandbox_upper(repo, id).upper
            if status == 0:
                return record_upper(repo, upper, parent, stamp, packages)
            self._keep_failed(unit, run, parent, stamp, upper)
        finally:
            remove_sandbox_folder(repo, id)
        raise StepFailed(
            f"the step ended with status {status}: {shorten(unit.text)}",
            status=status,
            hint="look at what it left: envgit shell --failed" if self.failed is not None else _HINT,
        )

    def _keep_failed(self, unit: Unit, run: Run, parent: Snapshot, stamp: Stamp, upper: str) -> None:
        """Make a commit of what a failed step left, with the variables, folder and user that it had."""
        config = parse_config(read_config_bytes(self._repo.objects, parent))
        own = {
            name: value for name, value in run.env if not is_proxy(name)
        }  # proxies, and their passwords, are the caller's
        config = config._replace(
            env=tuple({**dict(config.env), **own}.items()),
            working_dir=run.workdir or config.working_dir,
            user=run.user or config.user,
            entrypoint=(),
            cmd=("/bin/sh",),
        )
        kept = stamp._replace(text=f"failed: {unit.text}", key=None, config=config, stage="")
        try:
            self.failed = record_upper(self._repo, upper, parent, kept)
        except (EnvgitError, OSError) as error:
            self._repo.monitor.warn(f"what the failed step left could not be kept: {error}")

    def _input_tree(self, run: Run) -> str:
        sources = self._evaluation.sources
        epoch = self._recipe.epoch
        oid = self._dangling("inputs", lambda writer: make_input_tree(sources.context, run.inputs, writer, epoch))
        return f"{oid}:/"

    def _dangling(self, what: str, write: Callable[[TreeWriter], DirectoryRef]) -> str:
        """Make a commit that only this build mounts; no ref keeps it."""
        stamp = Stamp(f"{what} of a build step", {}, None, (), EnvironmentConfig(), self._recipe.epoch)
        return record_tree(self._repo, None, stamp, lambda writer: Written(write(writer))).oid.hex()

    def _mounted_tree(self, mount: TreeMount) -> str:
        sources, epoch = self._evaluation.sources, self._recipe.epoch
        oid = self._dangling("mounted", lambda writer: make_mount_tree(sources, mount, writer, epoch))
        return f"{oid}:/{os.fsdecode(mounted_file(sources, mount))}"

"""A stage of a Dockerfile as units: one for each instruction but ARG, which only sets variables of those that follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from envgit.building.dockerfiles.arguments import Arguments, set_arguments
from envgit.building.dockerfiles.config import configure, triggers, with_extra
from envgit.building.dockerfiles.copy import copy_action
from envgit.building.dockerfiles.names import Names
from envgit.building.dockerfiles.paths import absolute_path
from envgit.building.dockerfiles.run import run_action
from envgit.building.dockerfiles.variables import Variables
from envgit.building.record import record_of
from envgit.building.unit import Action, Context, Copy, CopyItem, Origin, Run, StageBase, TreeMount, Unit
from envgit.dockerfile import instructions as written
from envgit.dockerfile.errors import DockerfileError
from envgit.dockerfile.parse import parse_trigger
from envgit.errors import UsageError
from envgit.model import EnvironmentConfig


class StageSource(NamedTuple):
    """What is known of a stage before its base is. `parent`: the stage it begins from. `needs`: see Stage."""

    number: int
    text: written.StageText
    names: Names
    arguments: Arguments
    escape: str
    needs: frozenset[int]
    parent: int | None = None


def read_units(
    source: StageSource, finals: MutableMapping[int, Mapping[str, str]], config: EnvironmentConfig
) -> Sequence[Unit]:
    """Return the units of a stage over a base with the configuration `config`; raises DockerfileError.

    `finals`: the variables that each stage ended with, ARGs included: read for the stage's parent, set for the stage.
    """
    inherited = finals.get(source.parent) if source.parent is not None else None
    reader = _Reader(source, config, Variables(inherited or dict(config.env), source.escape))
    units = [*reader.triggers(), *reader.instructions(), *reader.rest()]
    finals[source.number] = reader.variables.values()
    return units


class _Reader:
    """Walks through the instructions. `config`: after the last one; `_recorded`: what the last unit recorded."""

    def __init__(self, source: StageSource, config: EnvironmentConfig, variables: Variables) -> None:
        self.variables = variables
        self._source = source
        self._config = config
        self._recorded = config
        self._has_cmd = False

    def triggers(self) -> Iterator[Unit]:
        """Yield what ONBUILD of the base asks for; the result has these no more."""
        start = self._source.text.start.source
        with _at(start):
            expressions = triggers(self._config)
        self._config = with_extra(self._config, "OnBuild", None)
        for expression in expressions:
            with _at(start, f"ONBUILD of the base, {expression[:60]!r}: "):
                trigger = parse_trigger(expression, "ONBUILD")
                yield from self._units(trigger, expression)

    def instructions(self) -> Iterator[Unit]:
        """Yield the units of the stage's own instructions."""
        for instruction in self._source.text.instructions:
            with _at(instruction.source):
                yield from self._units(instruction, instruction.source.text, instruction.source)

    def rest(self) -> Iterator[Unit]:
        """Yield a unit for triggers that are gone although no instruction followed that could record it."""
        if self._config != self._recorded:
            yield self._unit(self._source.text.start.source.text, None)

    def _units(
        self, instruction: written.Instruction, text: str, source: written.Source | None = None
    ) -> Iterator[Unit]:
        match instruction:
            case written.Arg():
                set_arguments(instruction, self.variables, self._source.arguments)
            case written.From():
                raise UsageError("FROM is no instruction of a stage")
            case written.Run():
                run = run_action(instruction, self._config, self.variables, self._source.names)
                self._check([mount.source for mount in run.mounts if isinstance(mount, TreeMount)])
                yield self._unit(text, run, source)
            case written.Copy() | written.Add():
                yield self._unit(text, self._copy(instruction), source)
            case written.Workdir():
                self._enter(instruction)
                yield self._unit(text, self._working_directory(), source)
            case _:
                keep_cmd = self._has_cmd
                self._config = configure(self._config, instruction, self.variables, keep_cmd=keep_cmd)
                self._has_cmd = keep_cmd or isinstance(instruction, written.Cmd)
                yield self._unit(text, None, source)

    def _copy(self, instruction: written.Copy | written.Add) -> Copy:
        name = instruction.from_ if isinstance(instruction, written.Copy) else ""
        origin = self._source.names.files(name, "--from") if name else Context()
        self._check([origin])
        return copy_action(instruction, self._config, self.variables, origin)

    def _enter(self, instruction: written.Workdir) -> None:
        path = absolute_path(self._config.working_dir, self.variables.expand(instruction.path))
        self._config = self._config._replace(working_dir=path)

    def _working_directory(self) -> Action:
        """Make the working directory when it is not there; it belongs to USER."""
        path = self._config.working_dir
        return None if path == "/" else Copy((CopyItem(path, owner=self._config.user, directory=True),))

    def _check(self, origins: Sequence[object]) -> None:
        """Refuse a stage that only a trigger of an image names: it was not known when the stages were put in order."""
        for origin in origins:
            if isinstance(origin, StageBase) and origin.number not in self._source.needs:
                hint = "name the stage in an instruction of this one, too: RUN --mount=from=STAGE,target=/mnt true"
                raise UsageError(
                    f"it takes files of stage {origin.number}, which nothing in the Dockerfile does", hint=hint
                )

    def _unit(self, text: str, action: Action, source: written.Source | None = None) -> Unit:
        changed = self._config if self._config != self._recorded or action is None else None
        self._recorded = self._config
        recorded = action
        if isinstance(action, Run):
            proxies = dict(self._source.arguments.proxies())
            known = {name for name, _ in action.env} | {name for name, _ in self._config.env}
            unnamed = tuple((name, value) for name, value in proxies.items() if name not in known)
            action = action._replace(env=(*action.env, *unnamed))
        place = source or self._source.text.start.source
        return Unit(text, Origin(place.file, place.first), record_of(recorded, changed), action, changed)


@contextmanager
def _at(source: written.Source, prefix: str = "") -> Iterator[None]:
    """Give errors their place."""
    try:
        yield
    except DockerfileError as error:
        if not prefix:
            raise
        message = " ".join(error.message.splitlines())  # of a text that is not of this file
        raise source.error(f"{prefix}{message}", hint=error.hint) from error
    except UsageError as error:
        raise source.error(f"{prefix}{error.message}", hint=error.hint) from error

"""A Dockerfile as a recipe: its stages, what each begins from and takes files from, and which one is wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from envgit.building.dockerfiles.arguments import Arguments, read_arguments
from envgit.building.dockerfiles.copy import refuse_sources
from envgit.building.dockerfiles.names import Names
from envgit.building.dockerfiles.run import mount_origins, refuse_run
from envgit.building.dockerfiles.stage import StageSource, read_units
from envgit.building.dockerfiles.variables import Variables
from envgit.building.unit import Origin, Recipe, Stage, StageBase
from envgit.dockerfile import instructions as written
from envgit.dockerfile.errors import DockerfileError
from envgit.errors import UsageError
from envgit.platforms import Platform, parse_platform, platform_of_machine
from envgit.suggestion import did_you_mean

_EPOCH = "SOURCE_DATE_EPOCH"


def recipe_of_dockerfile(
    dockerfile: written.Dockerfile,
    context: str,
    ignore: bytes = b"",
    *,
    target: str | None = None,
    build_args: Mapping[str, str] = MappingProxyType({}),
    platform: str = "",
    is_revision: Callable[[str], bool] = lambda name: False,
    files: tuple[tuple[str, bytes], ...] = (),
    epoch: int | None = None,
    machine: str | None = None,
) -> Recipe:
    """Return the recipe of a Dockerfile; `target`: the name or number of the stage that is wanted, None: the last one.

    `platform`: to build for, "": this machine's. `is_revision` says whether a name is a revision of the repository: those come
    before images. `machine`: as `uname -m` calls this one. `context`, `ignore`, `files`, `epoch`: see Recipe; a build argument
    SOURCE_DATE_EPOCH wins over `epoch`. Raises DockerfileError for what is not supported and for what makes no sense, as far
    as it shows before bases are known, UsageError for a wrong target, platform or epoch. The units of a stage are to be asked for
    after those of the stage it begins from.
    """
    _check_text(build_args)
    builds = platform_of_machine(machine or os.uname().machine)
    wanted = parse_platform(platform) if platform else None
    number = _find_target(dockerfile.stages, target)
    name = dockerfile.stages[number].start.name
    arguments = read_arguments(dockerfile, build_args, builds, wanted or builds, name)
    read = _Graph(dockerfile, arguments, is_revision, wanted)
    stages = read.stages()
    for needed in read.below(number):
        _refuse_unsupported(dockerfile.stages[needed])
    return Recipe(stages, number, context, ignore, files=files, epoch=_epoch(build_args, epoch))


class _Graph:
    """The stages of a file and how they depend on each other."""

    def __init__(
        self,
        dockerfile: written.Dockerfile,
        arguments: Arguments,
        is_revision: Callable[[str], bool],
        wanted: Platform | None,
    ) -> None:
        self._dockerfile = dockerfile
        self._arguments = arguments
        self._is_revision = is_revision
        self._wanted = wanted
        self._finals: dict[int, Mapping[str, str]] = {}
        self._needs: list[frozenset[int]] = []

    def stages(self) -> tuple[Stage, ...]:
        """Return all stages; raises DockerfileError for names that make no sense, also where nothing needs the stage."""
        return tuple(self._stage(number) for number in range(len(self._dockerfile.stages)))

    def below(self, target: int) -> list[int]:
        """Return the numbers of the stages that a stage needs, itself included."""
        found = {target}
        for number in range(target, -1, -1):
            if number in found:
                found |= self._needs[number]
        return sorted(found)

    def _stage(self, number: int) -> Stage:
        text = self._dockerfile.stages[number]
        start = text.start
        outer = Variables(self._arguments.outer, self._dockerfile.escape)
        names = self._names(number)
        try:
            name = outer.expand(start.base)
            if not name:
                hint = "give it a value with --build-arg, or in an ARG before the first FROM"
                raise UsageError(f"FROM {start.base}: the name is empty once variables are expanded", hint=hint)
            platform = _platform(start, outer)
            base = names.base(name, platform)
        except UsageError as error:
            raise _placed(start, error) from error
        parent = base.number if isinstance(base, StageBase) else None
        needs = frozenset(self._origins(text, names, parent))
        self._needs.append(needs)
        source = StageSource(number, text, names, self._arguments, self._dockerfile.escape, needs, parent)
        return Stage(
            name=start.name or str(number),
            text=start.source.text,
            origin=Origin(start.source.file, start.source.first),
            base=base,
            units=partial(read_units, source, self._finals),
            needs=tuple(sorted(needs)),
        )

    def _names(self, number: int) -> Names:
        stages = self._dockerfile.stages
        earlier = {stage.start.name: index for index, stage in enumerate(stages[:number]) if stage.start.name}
        later = frozenset(stage.start.name for stage in stages[number:] if stage.start.name)
        return Names(number, earlier, later, len(stages), self._is_revision, self._wanted)

    def _origins(self, text: written.StageText, names: Names, parent: int | None) -> Iterator[int]:
        """Yield the numbers of the stages that a stage, or a trigger of the stage that it begins from, takes anything from."""
        if parent is not None:
            yield parent
        triggers = self._dockerfile.stages[parent].instructions if parent is not None else ()
        inherited = [each.trigger for each in triggers if isinstance(each, written.Onbuild)]
        for instruction in (*inherited, *text.instructions):
            try:
                for option, name in _origin_names(instruction):
                    origin = names.files(name, option)
                    if isinstance(origin, StageBase):
                        yield origin.number
            except UsageError as error:
                raise _placed(text.start if instruction in inherited else instruction, error) from error


def _origin_names(instruction: written.Instruction) -> Iterator[tuple[str, str]]:
    if isinstance(instruction, written.Copy) and instruction.from_:
        yield "--from", instruction.from_
    elif isinstance(instruction, written.Run):
        yield from (("--mount=from", name) for name in mount_origins(instruction))


def _platform(start: written.From, outer: Variables) -> str:
    if not start.platform:
        return ""
    text = outer.expand(start.platform)
    if not text:
        raise UsageError(f"FROM --platform={start.platform}: the platform is empty once variables are expanded")
    return str(parse_platform(text))


def _find_target(stages: Sequence[written.StageText], target: str | None) -> int:
    """Return the number of the wanted stage; a name wins over a number, and of two stages of one name the later."""
    if not target:
        return len(stages) - 1
    names = {stage.start.name: number for number, stage in enumerate(stages) if stage.start.name}
    if target.lower() in names:
        return names[target.lower()]
    if target.isascii() and target.isdigit() and int(target[:9]) < len(stages):
        return int(target)
    hint = did_you_mean(target.lower(), names, "{!r}") or f"stages: {', '.join(names) or f'0 to {len(stages) - 1}'}"
    raise UsageError(f"there is no stage {target!r} in the Dockerfile", hint=hint)


def _refuse_unsupported(stage: written.StageText) -> None:
    for instruction in stage.instructions:
        try:
            if isinstance(instruction, written.Run):
                refuse_run(instruction)
            elif isinstance(instruction, written.Add | written.Copy):
                refuse_sources("ADD" if isinstance(instruction, written.Add) else "COPY", instruction.sources)
        except UsageError as error:
            raise _placed(instruction, error) from error


def _placed(instruction: written.Instruction, error: UsageError) -> DockerfileError:
    if isinstance(error, DockerfileError):
        return error
    return instruction.source.error(error.message, hint=error.hint)


def _check_text(build_args: Mapping[str, str]) -> None:
    for name, value in build_args.items():
        if any("\ud800" <= character <= "\udfff" for character in name + value):
            raise UsageError(f"--build-arg {ascii(name)}: not UTF-8", hint="configurations hold text only")


def _epoch(build_args: Mapping[str, str], epoch: int | None) -> int | None:
    given = build_args.get(_EPOCH, "")
    if not given:
        return epoch
    if not (given.isascii() and given.isdigit() and len(given) < 12):
        raise UsageError(f"--build-arg {_EPOCH}={given}: not a number of seconds", hint=f"--build-arg {_EPOCH}=0")
    return int(given)

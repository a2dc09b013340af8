"""From an environment of envgit.toml to a recipe: base, package sets, files, steps, configuration, in this order.

The configuration comes last, so that another command or port rebuilds nothing; its variables are given to the steps.
"""

from __future__ import annotations

from collections.abc import Sequence

from envgit.building.package_sets.package_list import format_package_list
from envgit.building.package_sets.units import package_units
from envgit.building.record import record_of
from envgit.building.unit import (
    Base,
    CacheMount,
    Copy,
    CopyItem,
    Origin,
    Recipe,
    RevisionBase,
    Run,
    ScratchBase,
    SecretMount,
    SourceBase,
    Stage,
    StepMount,
    Unit,
)
from envgit.declaration.lock_file import LockedPackage
from envgit.declaration.request import format_request
from envgit.declaration.texts import SANDBOX_LABEL
from envgit.declaration.values import BaseOptions, Command, Config, Environment, FileEntry, Place, Sandbox, Step
from envgit.model import EnvironmentConfig

SOURCE_KINDS = frozenset(("tar", "dir", "oci", "oci-archive", "docker-archive", "docker", "debian", "ubuntu"))
_IGNORED = b".envgit\n.git\n"


def recipe_of_environment(
    environment: Environment,
    folder: str,
    files: tuple[tuple[str, bytes], ...],
    *,
    pins: Sequence[LockedPackage] | None,
    exact: bool,
    base_digest: str,
    epoch: int,
) -> Recipe:
    """Return the recipe of a merged environment. `files`: what its commits keep beside rootfs/; `pins`: versions to prefer,
    `exact`: or else to fail."""

    packages = package_units(environment.packages, pins, epoch, exact=exact)

    def units(base: EnvironmentConfig) -> Sequence[Unit]:
        return _units(environment, base, packages)

    stage = Stage(
        environment.name,
        f'from = "{environment.source}"',
        _origin(environment.source_place),
        base_of(environment.source, environment.options),
        units,
        knows_files=True,
    )
    lines = None if pins is None else frozenset(format_package_list(pins).splitlines())
    return Recipe((stage,), 0, folder, _IGNORED, files, lines, base_digest, epoch)


def base_of(source: str, options: BaseOptions) -> Base:
    """Return what `from` names: a source, or else a revision of this repository."""
    kind, colon, _ = source.partition(":")
    if source == "scratch":
        return ScratchBase()
    if source != "host" and not (colon and kind in SOURCE_KINDS):
        return RevisionBase(source)
    chosen = [(name, getattr(options, name)) for name in ("mirror", "snapshot", "variant")]
    chosen += [(name, ",".join(getattr(options, name))) for name in ("components", "include")]
    return SourceBase(source, options.platform, tuple((name, value) for name, value in chosen if value))


def _units(environment: Environment, base: EnvironmentConfig, packages: Sequence[Unit]) -> list[Unit]:
    units = list(packages)
    if environment.files:
        copy = Copy(tuple(map(_copy_item, environment.files)))
        text = "files: " + " ".join(entry.target for entry in environment.files)
        units.append(Unit(text, _origin(environment.files[0].place), record_of(copy), copy))
    variables = tuple((each.name, each.value) for each in environment.config.env) if environment.config else ()
    units += [_step_unit(step, variables) for step in environment.steps]
    config = merge_config(base, environment.config, environment.sandbox)
    if config != base:
        place = environment.config.place if environment.config is not None else environment.place
        units.append(Unit("config", _origin(place), record_of(None, config), None, config))
    return units


def _copy_item(entry: FileEntry) -> CopyItem:
    content = None if entry.content is None else entry.content.encode("utf-8", "surrogateescape")
    mode = entry.mode or ("0644" if content is not None else "u=rwX,go=rX")  # the umask of a checkout shall not show
    return CopyItem(entry.target, entry.sources, content=content, owner=entry.owner, mode=mode)


def _step_unit(step: Step, variables: tuple[tuple[str, str], ...]) -> Unit:
    mounts: list[StepMount] = [SecretMount(id, f"/run/secrets/{id}", required=True) for id in step.secrets]
    mounts += [CacheMount(path, path, sharing="locked") for path in step.cache]
    run = Run(
        _words(step.run, "-ec"),
        env=tuple({**dict(variables), **{each.name: each.value for each in step.env}}.items()),
        workdir=step.workdir,
        user=step.user,
        network=step.network,
        mounts=tuple(mounts),
        inputs=step.inputs,
    )
    command = step.run if isinstance(step.run, str) else " ".join(step.run)
    text = f"{step.name}: {command.strip()}" if step.name else command
    return Unit(text, _origin(step.place), record_of(run), run)


def merge_config(base: EnvironmentConfig, config: Config | None, sandbox: Sandbox | None) -> EnvironmentConfig:
    """Return the base's configuration with what the declaration says over it; the sandbox's request as a label."""
    extra = dict(base.extra)
    labels = dict(_table(extra, "Labels"))
    labels.pop(SANDBOX_LABEL, None)  # the base's was asked for by somebody else
    result = base
    if config is not None:
        labels.update((each.name, each.value) for each in config.labels)
        for field, keys in (("ExposedPorts", config.ports), ("Volumes", config.volumes)):
            if keys:
                extra[field] = {**_table(extra, field), **{key: {} for key in keys}}
        if config.stop_signal is not None:
            extra["StopSignal"] = config.stop_signal
        result = result._replace(
            env=tuple({**dict(base.env), **{each.name: each.value for each in config.env}}.items()),
            working_dir=base.working_dir if config.workdir is None else config.workdir,
            user=base.user if config.user is None else config.user,
            cmd=base.cmd if config.command is None else _words(config.command, "-c"),
            entrypoint=base.entrypoint if config.entrypoint is None else _words(config.entrypoint, "-c"),
        )
    if sandbox is not None and (request := format_request(sandbox)) != "{}":
        labels[SANDBOX_LABEL] = request
    if labels or "Labels" in extra:
        extra["Labels"] = labels
    return result._replace(extra=extra)


def _table(extra: dict[str, object], name: str) -> dict[str, object]:
    value = extra.get(name)
    return value if isinstance(value, dict) else {}


def _words(command: Command, option: str) -> tuple[str, ...]:
    if isinstance(command, str):
        return ("/bin/sh", option, command) if command else ()
    return command


def _origin(place: Place) -> Origin:
    return Origin(place.file, place.line)

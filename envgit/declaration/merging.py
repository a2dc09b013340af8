"""`extends`: one environment out of several, of one file or of several."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from envgit.errors import UnknownPath
from envgit.light_typing import NamedTuple

from .errors import DeclarationError
from .parsing import parse
from .rebasing import rebase, refuse_leaving
from .spot import suggest
from .values import (
    MANAGERS,
    BaseOptions,
    Config,
    Declaration,
    Environment,
    Package,
    Place,
    Sandbox,
    Step,
    Variable,
)

_Keyed = TypeVar("_Keyed")


class _Link(NamedTuple):
    """An environment of the chain. `path`: of its file, relative to the main file's folder."""

    path: str
    declaration: Declaration
    environment: Environment


def resolve(declaration: Declaration, name: str, read: Callable[[str], bytes]) -> Environment:
    """Return the environment `name` merged with what it extends; "" is that of [env], or the only one.

    What it says itself wins: packages, files, variables, labels and values replace those of the same name, lists of
    [config] and [sandbox] are joined, steps follow. A base of its own also drops the options of the extended one's base.
    Paths are relative to the main file's folder, and never leave it.

    `read` returns another declaration file's bytes; it gets a normal path relative to the main file's folder, never out
    of it, and may raise OSError or UnknownPath. Raises DeclarationError: no such environment, a cycle, no base.
    """
    main = posixpath.basename(declaration.file) or declaration.file
    chain = [_Link(main, declaration, find_environment(declaration, name))]
    known = {main: declaration}
    while chain[-1].environment.extends:
        link = _next(chain[-1], known, declaration.file, read)
        if any(link.path == each.path and link.environment.name == each.environment.name for each in chain):
            raise _cycle(chain, link)
        chain.append(link)
    folders = [posixpath.dirname(link.path) for link in chain]
    merged = rebase(chain[-1].environment, folders[-1])
    for link, folder in zip(reversed(chain[:-1]), reversed(folders[:-1]), strict=True):
        merged = merge(merged, rebase(link.environment, folder))
    _check_base(merged, chain[0].environment)
    read_files = tuple(dict.fromkeys(link.path for link in chain))
    return merged._replace(place=chain[0].environment.place, extends="", files_read=read_files)


def find_environment(declaration: Declaration, name: str, asked_at: Place | None = None) -> Environment:
    """Return an environment of a file, as written; "": that of [env], or the only one.

    `asked_at`: the place that names it; None: the user does.
    Raises DeclarationError: there is none, or no single one is meant.
    """
    environments = {each.name: each for each in declaration.environments}
    place = asked_at or Place(declaration.file)
    there = "it" if place.file == declaration.file else declaration.file
    if not environments:
        raise DeclarationError(
            place, f"there is no environment in {there}", hint='it needs: [env] from = "debian:bookworm"'
        )
    wanted = name or declaration.default or (next(iter(environments)) if len(environments) == 1 else "")
    if not wanted:
        names = ", ".join(environments)
        raise DeclarationError(
            place, f"{there} has several environments, and none of [env]", hint=f"name one of them: {names}"
        )
    if wanted not in environments:
        known = f"there are: {', '.join(environments)}"
        raise DeclarationError(
            place, f"there is no environment '{wanted}' in {there}", hint=suggest(wanted, environments) or known
        )
    return environments[wanted]


def _next(link: _Link, known: dict[str, Declaration], main: str, read: Callable[[str], bytes]) -> _Link:
    environment = link.environment
    path, mark, name = environment.extends.partition("#")
    if not mark and not path.endswith(".toml"):
        return link._replace(environment=find_environment(link.declaration, path, environment.extends_place))
    place = environment.extends_place
    if mark and not name:
        raise DeclarationError(
            place, f"there is no name after # in '{environment.extends}'", hint=f'write extends = "{path}"'
        )
    if not path:
        raise DeclarationError(
            place, f"there is no file before # in '{environment.extends}'", hint=f'write extends = "{name}"'
        )
    path = posixpath.normpath(posixpath.join(posixpath.dirname(link.path), path))
    refuse_leaving(path, environment.extends, place)
    if path not in known:
        shown = posixpath.join(posixpath.dirname(main), path)
        try:
            text = read(path)
        except (OSError, UnknownPath) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise DeclarationError(
                place, f"cannot read {shown}: {reason}", hint="paths are relative to the file"
            ) from error
        known[path] = parse(text, shown)
    return _Link(path, known[path], find_environment(known[path], name, place))


def _cycle(chain: list[_Link], again: _Link) -> DeclarationError:
    start = next(n for n, each in enumerate(chain) if each[::2] == again[::2])
    ring = [*chain[start:], again]
    names = " -> ".join(
        f"{link.environment.name} ({link.environment.extends_place.file}:{link.environment.extends_place.line})"
        for link in ring
    )
    place = chain[-1].environment.extends_place
    return DeclarationError(
        place, f"environments extend each other: {names}", hint="one of them needs a base: from = ..."
    )


def merge(parent: Environment, child: Environment) -> Environment:
    """Return `child` over `parent`; name and place are the child's."""
    own_base = bool(child.source)
    return child._replace(
        source=child.source or parent.source,
        source_place=child.source_place if own_base else parent.source_place,
        options=child.options if own_base else _merge_options(parent.options, child.options),
        packages=_merge_packages(parent.packages, child.packages),
        files=_merge_keyed(parent.files, child.files, lambda each: each.target.rstrip("/")),
        steps=_merge_steps(parent.steps, child.steps),
        config=_merge_config(parent.config, child.config),
        sandbox=_merge_sandbox(parent.sandbox, child.sandbox),
    )


def _merge_options(parent: BaseOptions, child: BaseOptions) -> BaseOptions:
    return BaseOptions(*(own or inherited for inherited, own in zip(parent, child, strict=True)))  # type: ignore[arg-type]


def _merge_keyed(
    parent: Iterable[_Keyed], child: Iterable[_Keyed], key: Callable[[_Keyed], object]
) -> tuple[_Keyed, ...]:
    """Return the parent's items, each replaced in its place by the child's of the same key, and the child's others."""
    merged = {key(each): each for each in parent}
    merged.update((key(each), each) for each in child)
    return tuple(merged.values())


def _merge_packages(parent: tuple[Package, ...], child: tuple[Package, ...]) -> tuple[Package, ...]:
    merged = _merge_keyed(parent, child, lambda each: (each.manager, each.name))
    return tuple(sorted(merged, key=lambda each: MANAGERS.index(each.manager)))


def _merge_steps(parent: tuple[Step, ...], child: tuple[Step, ...]) -> tuple[Step, ...]:
    names = {step.name: step for step in parent if step.name}
    for step in child:
        if step.name in names:
            message = f"a step of the extended environment is called '{step.name}' as well ({names[step.name].place})"
            raise DeclarationError(step.place, message, hint="--from-step takes a name: give each its own")
    return parent + child


def _merge_variables(parent: tuple[Variable, ...], child: tuple[Variable, ...]) -> tuple[Variable, ...]:
    return _merge_keyed(parent, child, lambda each: each.name)


def _merge_config(parent: Config | None, child: Config | None) -> Config | None:
    if parent is None or child is None:
        return child or parent
    return Config(
        env=_merge_variables(parent.env, child.env),
        workdir=parent.workdir if child.workdir is None else child.workdir,
        user=parent.user if child.user is None else child.user,
        command=parent.command if child.command is None else child.command,
        entrypoint=parent.entrypoint if child.entrypoint is None else child.entrypoint,
        ports=tuple(dict.fromkeys(parent.ports + child.ports)),
        volumes=tuple(dict.fromkeys(parent.volumes + child.volumes)),
        labels=_merge_variables(parent.labels, child.labels),
        stop_signal=parent.stop_signal if child.stop_signal is None else child.stop_signal,
        place=child.place,
        places={**parent.places, **child.places},
    )


def _merge_sandbox(parent: Sandbox | None, child: Sandbox | None) -> Sandbox | None:
    """Merge what was asked for: lists are joined, anything else that the child says wins, `false` too."""
    if parent is None or child is None:
        return child or parent
    values: dict[str, Any] = {"place": child.place, "places": {**parent.places, **child.places}}
    for key in child.places:
        own, inherited = getattr(child, key), getattr(parent, key)
        values[key] = tuple(dict.fromkeys(inherited + own)) if isinstance(own, tuple) else own
    return parent._replace(**values)


def _check_base(merged: Environment, asked: Environment) -> None:
    if not merged.source:
        message = f"environment '{merged.name}' has no base"
        raise DeclarationError(asked.place, message, hint='say what it is built on: from = "debian:bookworm"')
    kind = merged.source.partition(":")[0]
    for key in ("mirror", "snapshot", "variant", "components", "include"):
        if getattr(merged.options, key) and kind not in (("debian",) if key == "snapshot" else ("debian", "ubuntu")):
            wanted = "debian:" if key == "snapshot" else "debian: and ubuntu:"
            message = f"'{key}' is for a base of {wanted}, not for '{merged.source}'"
            raise DeclarationError(merged.source_place, message, hint=f"leave '{key}' out")

"""The arguments of a Dockerfile's build: what is given, what is predefined, and the ARGs before the first FROM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from envgit.building.dockerfiles.variables import Variables
from envgit.dockerfile.errors import ExpansionError
from envgit.dockerfile.instructions import Arg, Dockerfile, Onbuild
from envgit.platforms import Platform

PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""Programs of RUN get them, in both cases, without an ARG; a key and a commit hold them only with one."""

_PLATFORM_NAMES: Final = ("PLATFORM", "OS", "ARCH", "VARIANT")
_PREDEFINED: Final = frozenset(
    (*PROXIES, *(name.lower() for name in PROXIES), "SOURCE_DATE_EPOCH", "TARGETSTAGE")
    + tuple(f"{prefix}{name}" for prefix in ("BUILD", "TARGET") for name in _PLATFORM_NAMES)
)


class Arguments(NamedTuple):
    """`given`: --build-arg. `outer`: values of the ARGs before the first FROM and of the predefined ones, which FROM sees, and a
    stage after it names them in an ARG without default."""

    given: Mapping[str, str]
    outer: Mapping[str, str]

    def proxies(self) -> Iterator[tuple[str, str]]:
        """Yield the given proxies by their names in both cases."""
        for name in PROXIES:
            value = self.given.get(name, self.given.get(name.lower()))
            if value is not None:
                yield name, value
                yield name.lower(), value


def read_arguments(
    dockerfile: Dockerfile, given: Mapping[str, str], machine: Platform, wanted: Platform, target: str
) -> Arguments:
    """Evaluate the ARGs before the first FROM; raises DockerfileError. `machine`: builds, `wanted`: is built for."""
    predefined = {"TARGETSTAGE": target or "default"}
    for prefix, platform in (("BUILD", machine), ("TARGET", wanted)):
        values = (str(platform), *platform)
        predefined |= {f"{prefix}{name}": value for name, value in zip(_PLATFORM_NAMES, values, strict=True)}
    outer = Variables({name: given.get(name, value) for name, value in predefined.items()}, dockerfile.escape)
    for argument in dockerfile.arguments:
        for item in argument.items:
            if item.name in given:
                outer.set(item.name, given[item.name])
            elif item.default is not None:
                outer.set(item.name, _expand(argument, item.default, outer))
    return Arguments(given, outer.values())


def set_arguments(arg: Arg, variables: Variables, arguments: Arguments) -> None:
    """Carry out an ARG of a stage: a given value, else the default, else the value of before the first FROM, else nothing.

    Raises ExpansionError; a default that is not used is not expanded.
    """
    for item in arg.items:
        if item.name in arguments.given:
            variables.set(item.name, arguments.given[item.name])
        elif item.default is not None:
            variables.set(item.name, variables.expand(item.default))
        elif item.name in arguments.outer:
            variables.set(item.name, arguments.outer[item.name])


def undeclared_arguments(dockerfile: Dockerfile, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of the names, sorted, that no ARG of the file declares and that are not predefined: they do nothing.

    An ONBUILD ARG of a base image is not known here.
    """
    declared = set(_PREDEFINED)
    for instruction in dockerfile.instructions:
        inner = instruction.trigger if isinstance(instruction, Onbuild) else instruction
        if isinstance(inner, Arg):
            declared |= {item.name for item in inner.items}
    return tuple(sorted(name for name in set(names) - declared if not name.startswith("BUILDKIT_")))


def _expand(argument: Arg, word: str, variables: Variables) -> str:
    try:
        return variables.expand(word)
    except ExpansionError as error:
        raise argument.source.error(error.message, hint=error.hint) from error

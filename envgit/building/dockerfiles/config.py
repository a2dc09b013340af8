"""Instructions of a Dockerfile that only set the configuration: what each does to an image's `config` object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from envgit.building.dockerfiles.variables import Variables
from envgit.dockerfile import instructions as written
from envgit.errors import UsageError
from envgit.model import EnvironmentConfig
from envgit.sandbox.stop_signal import parse_signal

DEFAULT_SHELL: Final = ("/bin/sh", "-c")
AUTHORS_LABEL: Final = "org.opencontainers.image.authors"
"""What MAINTAINER sets, as the reference advises to write it: a configuration has no author."""

ConfigInstruction: TypeAlias = (
    written.Cmd
    | written.Label
    | written.Maintainer
    | written.Expose
    | written.Env
    | written.Entrypoint
    | written.Volume
    | written.User
    | written.Onbuild
    | written.Stopsignal
    | written.Healthcheck
    | written.Shell
)

_PORT: Final = re.compile(
    r"(?:(?:(?P<ip>.*):)?(?P<host>[^:]*):)?(?P<first>\d+)(?:-(?P<last>\d+))?(?:/(?P<protocol>[^/]*))?"
)


def configure(
    config: EnvironmentConfig, instruction: ConfigInstruction, variables: Variables, *, keep_cmd: bool
) -> EnvironmentConfig:
    """Return the configuration after an instruction. `keep_cmd`: this stage has set CMD, so ENTRYPOINT does not take it away.

    Sets the variables of ENV in `variables`, too. Raises UsageError, without a place, for values that make no sense.
    """
    match instruction:
        case written.Env():
            return _set_variables(config, _expand_pairs("ENV", instruction.pairs, variables), variables)
        case written.Label():
            return _set_keys(config, "Labels", dict(_expand_pairs("LABEL", instruction.pairs, variables)))
        case written.Maintainer():
            return _set_keys(config, "Labels", {AUTHORS_LABEL: instruction.name})
        case written.Expose():
            words = [word for text in instruction.ports for word in variables.expand_words(text)]
            return _set_keys(config, "ExposedPorts", {port: {} for word in words for port in expand_port(word)})
        case written.Volume():
            return _set_keys(config, "Volumes", {path: {} for path in _volumes(instruction, variables)})
        case written.User():
            return config._replace(user=_filled(variables.expand(instruction.user), "USER", "nobody"))
        case written.Cmd():
            return config._replace(cmd=command_words(config, instruction.command))
        case written.Entrypoint():
            words_of = command_words(config, instruction.command)
            return config._replace(entrypoint=words_of, cmd=config.cmd if keep_cmd else ())
        case written.Shell():
            return with_extra(config, "Shell", list(instruction.words))
        case written.Stopsignal():
            return with_extra(config, "StopSignal", _checked_signal(variables.expand(instruction.signal)))
        case written.Healthcheck():
            return with_extra(config, "Healthcheck", _healthcheck(instruction))
        case written.Onbuild():
            return with_extra(config, "OnBuild", [*triggers(config), instruction.expression])


def shell_of(config: EnvironmentConfig) -> tuple[str, ...]:
    """Return the shell of shell forms."""
    shell = config.extra.get("Shell")
    if isinstance(shell, list) and shell and all(isinstance(word, str) for word in shell):
        return tuple(shell)
    return DEFAULT_SHELL


def command_words(config: EnvironmentConfig, command: written.Command) -> tuple[str, ...]:
    """Return the argv of a command line."""
    return command.words if command.is_exec else (*shell_of(config), " ".join(command.words))


def triggers(config: EnvironmentConfig) -> list[str]:
    """Return the ONBUILD instructions of a configuration, which may be anybody's: raises UsageError for what is no text."""
    found = config.extra.get("OnBuild") or []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise UsageError("OnBuild of the base's configuration is not a list of instructions")
    return found


def with_extra(config: EnvironmentConfig, name: str, value: object) -> EnvironmentConfig:
    """Return the configuration with a field set; None takes it away."""
    fields = {key: each for key, each in config.extra.items() if key != name}
    return config._replace(extra=fields if value is None else {**fields, name: value})


def expand_port(word: str) -> Iterator[str]:
    """Yield the ports that a word of EXPOSE names, as PORT/PROTOCOL: 80, 8000-8010/udp; an address and port of the host before
    are left out, as docker does. Raises UsageError."""
    found = _PORT.fullmatch(word)
    shown = repr(word[:40])
    hint = "a port is written PORT[-PORT][/PROTOCOL], such as 80 or 53/udp"
    if found is None or not word.isascii():
        raise UsageError(f"{shown} is not a port", hint=hint)
    first = int(found["first"][:6])
    last = int((found["last"] or found["first"])[:6])
    protocol = (found["protocol"] or "tcp").lower()
    if protocol not in ("tcp", "udp", "sctp"):
        raise UsageError(f"{shown}: {protocol[:40]!r} is no protocol of ports", hint="tcp, udp or sctp")
    if not first <= last <= 65535:
        raise UsageError(f"{shown} is not a range of ports up to 65535", hint=hint)
    for port in range(first, last + 1):
        yield f"{port}/{protocol}"


def _set_variables(
    config: EnvironmentConfig, pairs: Sequence[tuple[str, str]], variables: Variables
) -> EnvironmentConfig:
    env = dict(config.env)
    for name, value in pairs:
        env[name] = value
        variables.set(name, value)
    return config._replace(env=tuple(env.items()))


def _expand_pairs(word: str, pairs: Sequence[written.Pair], variables: Variables) -> list[tuple[str, str]]:
    found = [(_filled(variables.expand(pair.name), word, "NAME=VALUE"), variables.expand(pair.value)) for pair in pairs]
    odd = next((name for name, _ in found if "=" in name and word == "ENV"), None)
    if odd is not None:
        raise UsageError(f"ENV: {odd!r} is no name of a variable: it has a = in it")
    return found


def _set_keys(config: EnvironmentConfig, name: str, new: Mapping[str, object]) -> EnvironmentConfig:
    old = config.extra.get(name)
    return with_extra(config, name, {**(old if isinstance(old, Mapping) else {}), **new})


def _volumes(instruction: written.Volume, variables: Variables) -> Iterator[str]:
    for path in instruction.paths:
        yield _filled(variables.expand(path), "VOLUME", "/data")


def _filled(value: str, name: str, example: str) -> str:
    if not value:
        raise UsageError(f"{name} is empty once variables are expanded", hint=f"{name} {example}")
    return value


def _checked_signal(text: str) -> str:
    parse_signal(text)
    return text


def _healthcheck(instruction: written.Healthcheck) -> Mapping[str, object]:
    numbers = {
        "Interval": instruction.interval_ns,
        "Timeout": instruction.timeout_ns,
        "StartPeriod": instruction.start_period_ns,
        "StartInterval": instruction.start_interval_ns,
        "Retries": instruction.retries,
    }
    return {"Test": list(instruction.test), **{name: number for name, number in numbers.items() if number}}

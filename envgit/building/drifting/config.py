"""Drift of the configuration: what the environment runs by default, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from envgit.building.drifting.values import DriftItem, SetConfig
from envgit.model import EnvironmentConfig

_OWN_LABELS = "envgit."
_LISTS = (("ports", "ExposedPorts"), ("volumes", "Volumes"))


def config_items(old: EnvironmentConfig, new: EnvironmentConfig) -> Iterator[DriftItem]:
    """Yield an item per value that differs."""
    yield from _table("env", dict(old.env), dict(new.env))
    yield from _value("workdir", old.working_dir, new.working_dir)
    yield from _value("user", old.user, new.user)
    yield from _value("command", list(old.cmd), list(new.cmd))
    yield from _value("entrypoint", list(old.entrypoint), list(new.entrypoint))
    for name, field in _LISTS:
        yield from _value(name, sorted(_mapping(old, field)), sorted(_mapping(new, field)))
    yield from _table("labels", _labels(old), _labels(new))
    yield from _value("stop_signal", str(old.extra.get("StopSignal", "")), str(new.extra.get("StopSignal", "")))


def _table(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[DriftItem]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        mark = "+" if before is None else "-" if after is None else "~"
        what = f"{name}.{key}" + ("" if after is None else f" = {after}")
        if after is None:
            note = "the base may have it: then a declaration cannot take it away"
            yield DriftItem("config", mark, what, (SetConfig((name, key), None),), note)
        else:
            yield DriftItem("config", mark, what, (SetConfig((name, key), after),))


def _value(name: str, old: str | list[str], new: str | list[str]) -> Iterator[DriftItem]:
    if old == new:
        return
    mark = "+" if not old else "-" if not new else "~"
    what = name if not new else f"{name} = {new if isinstance(new, str) else ' '.join(new)}"
    # An empty command or entrypoint takes the base's away; other empty values are as if nothing were said.
    value: object = new if new or name in ("command", "entrypoint") else None
    yield DriftItem("config", mark, what, (SetConfig((name,), value),))


def _mapping(config: EnvironmentConfig, field: str) -> Mapping[str, object]:
    value = config.extra.get(field)
    return value if isinstance(value, dict) else {}


def _labels(config: EnvironmentConfig) -> dict[str, str]:
    return {key: str(value) for key, value in _mapping(config, "Labels").items() if not key.startswith(_OWN_LABELS)}

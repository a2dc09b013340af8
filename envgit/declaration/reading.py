"""Checked fields of one environment to values with places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .package_spec import split_spec
from .spot import Spot
from .texts import normal_target
from .values import (
    MANAGERS,
    BaseOptions,
    Config,
    Environment,
    FileEntry,
    Manager,
    Package,
    Place,
    Sandbox,
    Step,
    Variable,
)

Fields = Mapping[str, Any]


def read_environment(name: str, fields: Fields, head: Spot, body: Spot, place: Place) -> Environment:
    """Return the environment of checked fields. `head`: the table of from and extends; `body`: that of packages, files, ...

    Raises DeclarationError for what concerns several values: two packages, files or steps of one name.
    """
    options = {key: fields[key] for key in BaseOptions._fields if key in fields}
    return Environment(
        name,
        place,
        fields.get("from", ""),
        head.at("from").place if "from" in fields else place,
        BaseOptions(**options),
        fields.get("extends", ""),
        head.at("extends").place if "extends" in fields else place,
        _packages(fields.get("packages", {}), body.at("packages")),
        _files(fields.get("files", {}), body.at("files")),
        _steps(fields.get("step", ()), body.at("step")),
        _config(fields["config"], body.at("config")) if "config" in fields else None,
        _sandbox(fields["sandbox"], body.at("sandbox")) if "sandbox" in fields else None,
    )


def _packages(lists: Fields, spot: Spot) -> tuple[Package, ...]:
    found: dict[tuple[Manager, str], Package] = {}
    for manager in MANAGERS:
        for number, text in enumerate(lists.get(manager, ())):
            where = spot.at(manager).at(number)
            name, constraint = split_spec(manager, text)
            if (manager, name) in found:
                first = found[manager, name]
                raise where.error(
                    f"'{name}' is asked for already, as {first.text!r} in line {first.place.line}",
                    "leave one of them out",
                )
            found[manager, name] = Package(manager, name, constraint, text, where.place)
    return tuple(found.values())


def _files(entries: Fields, spot: Spot) -> tuple[FileEntry, ...]:
    found: dict[str, FileEntry] = {}
    for key, fields in entries.items():
        where = spot.at(key)
        target = normal_target(key)
        sources = fields.get("source", ())
        sources = (sources,) if isinstance(sources, str) else sources
        if "content" in fields and target.endswith("/"):
            raise where.error(f"'{key}' is a folder, and a content makes a file", f'name the file: "{key}NAME"')
        if len(sources) > 1 and not target.endswith("/"):
            raise where.error(f"several sources go into a folder, and '{key}' does not end with /", f'write "{key}/"')
        same = found.get(target.rstrip("/"))
        if same is not None:
            raise where.error(f"'{key}' is there already, in line {same.place.line}", "leave one of them out")
        found[target.rstrip("/")] = FileEntry(
            target, where.place, sources, fields.get("content"), fields.get("mode", ""), fields.get("owner", "")
        )
    return tuple(found.values())


def _steps(steps: tuple[Fields, ...], spot: Spot) -> tuple[Step, ...]:
    found: list[Step] = []
    for number, fields in enumerate(steps):
        where = spot.at(number)
        step = Step(
            fields["run"],
            where.place,
            fields.get("name", ""),
            fields.get("network", ""),
            _variables(fields.get("env", {}), where.at("env")),
            fields.get("workdir", ""),
            fields.get("user", ""),
            fields.get("inputs", ()),
            fields.get("secrets", ()),
            fields.get("cache", ()),
        )
        if step.inputs and all(pattern.startswith("!") for pattern in step.inputs):
            raise where.at("inputs").error(
                "these inputs only take away, and choose nothing", 'first what to take: "src/**"'
            )
        same = next((each for each in found if step.name and each.name == step.name), None)
        if same is not None:
            message = f"another step is called '{step.name}' as well, in line {same.place.line}"
            raise where.at("name").error(message, "--from-step takes a name: give each its own")
        found.append(step)
    return tuple(found)


def _variables(table: Fields, spot: Spot) -> tuple[Variable, ...]:
    return tuple(Variable(name, value, spot.at(name).place) for name, value in table.items())


def _config(fields: Fields, spot: Spot) -> Config:
    return Config(
        _variables(fields.get("env", {}), spot.at("env")),
        fields.get("workdir"),
        fields.get("user"),
        fields.get("command"),
        fields.get("entrypoint"),
        tuple(dict.fromkeys(port for each in fields.get("ports", ()) for port in _each_port(each))),
        fields.get("volumes", ()),
        _variables(fields.get("labels", {}), spot.at("labels")),
        fields.get("stop_signal"),
        spot.place,
        {key: spot.at(key).place for key in fields},
    )


def _each_port(text: str) -> list[str]:
    """Return the ports of a checked "8080", "8080/tcp" or "8000-8010/udp"."""
    numbers, _, protocol = text.partition("/")
    first, _, last = numbers.partition("-")
    return [f"{number}/{protocol or 'tcp'}" for number in range(int(first), int(last or first) + 1)]


def _sandbox(fields: Fields, spot: Spot) -> Sandbox:
    return Sandbox(**fields, place=spot.place, places={key: spot.at(key).place for key in fields})

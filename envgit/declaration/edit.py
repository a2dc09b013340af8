"""Edits of an envgit.toml's text that keep its comments and layout.

Every function takes the text, its file's name for messages, and the name of one of its environments ("": that of [env], or the
only one), and returns a text that parses to just what was asked for. Raises DeclarationError when the text or the result is no
declaration, when there is no such environment, or when the text is written in a way that cannot be edited here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias

import tomlkit
import tomlkit.exceptions
import tomlkit.items

from .errors import DeclarationError
from .insertion import insert_key, insert_table
from .merging import find_environment
from .package_spec import split_spec
from .parsing import parse
from .texts import normal_target
from .toml_text import format_key, format_value, read_toml
from .values import MANAGERS, Manager, Place

Table: TypeAlias = MutableMapping[str, Any]
Make: TypeAlias = Callable[[object], Any]
"""Makes a value for a table: of plain ones, or of those that know their spelling."""

_BOM = b"\xef\xbb\xbf"


def add_packages(text: bytes, file: str, environment: str, manager: str, specs: Iterable[str]) -> bytes:
    """Return the text with packages added to the end of a manager's list; one of the same name is replaced in its place."""
    known = _manager(manager, file)
    wanted = {_name(known, spec, file): spec for spec in specs}

    def add(packages: Table, make: Make) -> None:
        if manager not in packages:
            packages[manager] = make(list(wanted.values()))
            return
        listed = packages[manager]
        names = [split_spec(known, str(each))[0] for each in listed]
        for name, spec in wanted.items():
            if name not in names:
                listed.append(spec)
            elif listed[names.index(name)] != spec:
                listed[names.index(name)] = make(spec)

    return _edit(text, file, environment, "packages", {manager: list(wanted.values())}, add) if wanted else text


def remove_packages(text: bytes, file: str, environment: str, manager: str, names: Iterable[str]) -> bytes:
    """Return the text without the packages of these names (pip: in any spelling); names that are not listed are ignored."""
    known = _manager(manager, file)
    unwanted = {_name(known, name, file) for name in names}

    def remove(packages: Table, make: Make) -> None:
        listed = packages.get(manager, [])
        for number in reversed(range(len(listed))):
            if split_spec(known, str(listed[number]))[0] in unwanted:
                del listed[number]
        if manager in packages and not listed:
            del packages[manager]

    return _edit(text, file, environment, "packages", None, remove)


def set_file(text: bytes, file: str, environment: str, target: str, entry: Mapping[str, object]) -> bytes:
    """Return the text with the [files] entry of `target` set to `entry`: source or content, mode, owner."""

    def change(files: Table, make: Make) -> None:
        key = _written_target(files, target)
        written = files.get(key)
        if not isinstance(written, tomlkit.items.Table):
            files[key] = make(entry)
            return
        for name in [name for name in written if name not in entry]:
            del written[name]
        for name, value in entry.items():
            written[name] = make(value)

    return _edit(text, file, environment, "files", {target: entry}, change)


def remove_file(text: bytes, file: str, environment: str, target: str) -> bytes:
    """Return the text without the [files] entry of `target`; unchanged when there is none."""

    def change(files: Table, make: Make) -> None:
        files.pop(_written_target(files, target), None)

    return _edit(text, file, environment, "files", None, change)


def set_config(text: bytes, file: str, environment: str, path: tuple[str, ...], value: object) -> bytes:
    """Return the text with a value of [config] set: `path` is ("workdir",) or ("env", "LANG"). None: removed."""
    *above, key = path
    whole: dict[str, object] = {above[0]: {key: value}} if above else {key: value}

    def change(config: Table, make: Make) -> None:
        table = config.get(above[0]) if above else config
        if value is None:
            (table if table is not None else {}).pop(key, None)
        elif table is None:
            config[above[0]] = make({key: value})
        elif isinstance(table, tomlkit.items.InlineTable) and "\n" not in table.as_string():
            config[above[0]] = make({**table.unwrap(), key: value})  # the editor of texts is careless with its blanks
        else:
            table[key] = make(value)

    return _edit(text, file, environment, "config", None if value is None else whole, change)


def append_step(text: bytes, file: str, environment: str, step: Mapping[str, object]) -> bytes:
    """Return the text with a [[step]] after the last one."""
    return _edit(text, file, environment, "step", dict(step), None)


def _manager(manager: str, file: str) -> Manager:
    for known in MANAGERS:
        if known == manager:
            return known
    raise DeclarationError(Place(file), f"'{manager}' is no package manager", hint=f"one of: {', '.join(MANAGERS)}")


def _name(manager: Manager, spec: str, file: str) -> str:
    try:
        return split_spec(manager, spec)[0]
    except ValueError as error:
        raise DeclarationError(Place(file), f"{spec!r} is {error}") from error


def _written_target(files: Table, target: str) -> str:
    """Return a target's key as the file spells it."""
    wanted = normal_target(target).rstrip("/")
    return next((key for key in files if normal_target(key).rstrip("/") == wanted), target)


def _edit(
    text: bytes,
    file: str,
    environment: str,
    table: str,
    fields: dict[str, object] | None,
    change: Callable[[Table, Make], None] | None,
) -> bytes:
    """Change a table of an environment, or insert it with `fields` (None: nothing to do) where it is missing.

    `change` is applied to the parsed values and to the text alike, and both must agree afterwards; None: always insert.
    """
    declaration = parse(text, file)
    name = find_environment(declaration, environment).name
    path = () if name == declaration.default else ("env", name)
    plain = read_toml(text, file)
    holder: Table = plain
    for key in path:
        holder = holder[key]
    source = text.removeprefix(_BOM).decode()
    unix = source.replace("\r\n", "\n")
    changed: str | None
    if change is not None and table in holder:
        before = _make_plain(holder[table])
        change(holder[table], _make_plain)
        changed = _add_key(unix, (*path, table), before, holder[table])
        if changed is None or not _means(changed, plain, (*path, table)):
            changed = _change_text(unix, (*path, table), change)
    elif fields is None:
        return text
    else:
        changed = insert_table(unix, path, table, fields)
        if table == "step":
            holder.setdefault(table, []).append(_make_plain(fields))
        else:
            holder[table] = _make_plain(fields)
    if changed is None or not _means(changed, plain, (*path, table)):
        written = "; ".join(f"{format_key(key)} = {format_value(value)}" for key, value in (fields or {}).items())
        message = f"'{table}' of environment '{name}' is written in a way that cannot be edited here"
        raise DeclarationError(Place(file), message, hint=f"write it there: {written}" if written else "edit it there")
    edited = (changed.replace("\n", "\r\n") if "\r\n" in source else changed).encode()
    edited = _BOM + edited if text.startswith(_BOM) else edited
    parse(edited, file)
    return edited


def _make_plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {key: _make_plain(each) for key, each in value.items()}
    return [_make_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _add_key(source: str, path: tuple[str, ...], before: Table, after: Table) -> str | None:
    """Return the text with the key that a table has got; None when that is not all."""
    added = [key for key in after if key not in before]
    if len(added) != 1 or any(after.get(key) != value for key, value in before.items()):
        return None
    return insert_key(source, path, added[0], after[added[0]])


def _change_text(source: str, path: tuple[str, ...], change: Callable[[Table, Make], None]) -> str | None:
    """Return the text with a change made; None when the editor of texts cannot."""
    try:
        document = tomlkit.parse(source)
        table: Any = document
        for key in path:
            table = table[key]
        change(table, lambda value: tomlkit.value(format_value(value)))
        return str(tomlkit.dumps(document))
    except (tomlkit.exceptions.TOMLKitError, ValueError, LookupError, AttributeError, TypeError):
        return None


def _means(text: str, fields: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Say whether a text is TOML of just these values; in the table at `path` an empty table is as good as none."""
    try:
        found = read_toml(text.encode(), "")
    except DeclarationError:
        return False
    return _without_empty(found, path) == _without_empty(fields, path)


def _without_empty(fields: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Return a copy of the values without empty tables in the table at `path`, and without that when nothing is left."""
    if not path:
        return {name: value for name, value in fields.items() if value != {}}
    key, *below = path
    if not isinstance(fields.get(key), dict):
        return fields
    kept = _without_empty(fields[key], tuple(below))
    others = {name: value for name, value in fields.items() if name != key}
    return {**others, key: kept} if kept or below else others

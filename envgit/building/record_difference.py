"""What is different between two units that are written alike, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from envgit.building.unit import Record

_MOST_CHARACTERS = 60
_MOST_PARTS = 3


def compare_records(before: Record, now: Record) -> str:
    """Return `changed: V was 1, is 2`, `changed: content of /a`, ...; a record of another version may hold anything."""
    parts = list(_parts(before, now))
    more = ["..."] if len(parts) > _MOST_PARTS else []
    return f"changed: {', '.join([*parts[:_MOST_PARTS], *more])}" if parts else "changed"


def _parts(before: Record, now: Record) -> Iterator[str]:
    old, new = before.get("action"), now.get("action")
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        if old.get("is") == new.get("is") == "Copy":
            yield from _items(old, new)
        else:
            yield from _fields(old, new)
    elif old != new:
        yield "what it does"
    old, new = before.get("config"), now.get("config")
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        inner, other = old.get("config"), new.get("config")
        if isinstance(inner, Mapping) and isinstance(other, Mapping):
            old, new = inner, other
        yield from _fields(old, new)
    elif old != new:
        yield "the configuration"
    known = ("action", "config")
    yield from _fields(*({key: each for key, each in record.items() if key not in known} for record in (before, now)))


def _items(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield what differs between two lists of files; they are known by their targets."""
    before, now = ({str(each.get("target")): each for each in _objects(side.get("items"))} for side in (old, new))
    for target in before.keys() - now.keys():
        yield f"{target} is gone"
    for target, item in now.items():
        if target not in before:
            yield f"{target} is new"
            continue
        for name in sorted({*item, *before[target]}):
            was, now_is = before[target].get(name), item.get(name)
            if was == now_is:
                continue
            said = isinstance(was, str) and isinstance(now_is, str)
            yield f"{name} of {target}" + (f" was {_shown(was)}, is {_shown(now_is)}" if said else "")


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        if name.lower() == "env":
            yield from _variables(_pairs(was), _pairs(now))
        elif name == "argv" and isinstance(was, list) and was:
            yield f"was: {_shown(was[-1])}"
        elif isinstance(was, str | None) and isinstance(now, str | None):
            yield f"{name} was {_shown(was or 'none')}, is {_shown(now or 'none')}"
        else:
            yield name


def _variables(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    if was == now:
        yield "the order of variables"
    for name in sorted({*was, *now}):
        if name not in now:
            yield f"{name} is gone"
        elif name not in was:
            yield f"{name} is new: {_shown(now[name])}"
        elif was[name] != now[name]:
            yield f"{name} was {_shown(was[name])}, is {_shown(now[name])}"


def _pairs(value: object) -> dict[str, str]:
    """Return variables as a step has them, [[NAME, VALUE], ...], or as a configuration does, ["NAME=VALUE", ...]."""
    found: dict[str, str] = {}
    for each in value if isinstance(value, list) else ():
        if isinstance(each, str):
            name, _, text = each.partition("=")
            found[name] = text
        elif isinstance(each, list | tuple) and len(each) == 2:
            found[str(each[0])] = str(each[1])
    return found


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 3] + "..."

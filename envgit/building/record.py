"""The one spelling of what a unit does as JSON, for its key and its commit, and back: recipes of all formats use it.

A NamedTuple is an object with its class under "is" and the fields that differ from their defaults; bytes are {"base64": ...}.
"""

from __future__ import annotations

import json
import types
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from envgit.building.unit import (
    Action,
    Base,
    CacheMount,
    Context,
    Copy,
    CopyItem,
    Injected,
    Record,
    RevisionBase,
    Run,
    ScratchBase,
    SecretMount,
    SourceBase,
    StageBase,
    TmpfsMount,
    TreeMount,
)
from envgit.environment_config import format_config, parse_config
from envgit.errors import CorruptObject
from envgit.model import EnvironmentConfig

_TYPES: Final = (
    *(Run, Copy, CopyItem, Injected, SecretMount, CacheMount, TmpfsMount, TreeMount),
    *(Context, StageBase, RevisionBase, SourceBase, ScratchBase),
)
_KEYS: Final = frozenset(("base", "action", "config"))
_NAMES: Final = {type.__name__: type for type in _TYPES}


class Recorded(NamedTuple):
    """What a record says: either a base, or an action and a configuration (None: unchanged); `more`: what others added."""

    base: Base | None = None
    action: Action = None
    config: EnvironmentConfig | None = None
    more: Mapping[str, object] = types.MappingProxyType({})


def record_of(action: Action, config: EnvironmentConfig | None = None) -> Record:
    """Return the record of a unit."""
    record: dict[str, object] = {}
    if action is not None:
        record["action"] = _encode(action)
    if config is not None:
        record["config"] = json.loads(format_config(config))
    return record


def record_of_base(base: Base) -> Record:
    """Return the record of a base."""
    return {"base": _encode(base)}


def parse_record(record: object) -> Recorded:
    """Undo record_of() and record_of_base(). It may come from anybody: raises CorruptObject for what says nothing."""
    if not isinstance(record, Mapping) or (record and not _KEYS.intersection(record)):
        raise CorruptObject("what a unit did is written in a way that this version does not know")
    base = _decode(record["base"], Base) if "base" in record else None
    action = _decode(record["action"], Action) if "action" in record else None
    config = parse_config(json.dumps(record["config"]).encode()) if "config" in record else None
    return Recorded(base, action, config, {key: each for key, each in record.items() if key not in _KEYS})


def _encode(value: object) -> object:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        defaults: Mapping[str, object] = getattr(value, "_field_defaults", {})
        pairs = zip(value._fields, value, strict=True)
        fields = {name: _encode(each) for name, each in pairs if name not in defaults or each != defaults[name]}
        return {"is": type(value).__name__, **fields}
    if isinstance(value, tuple | list):
        return [_encode(each) for each in value]
    if isinstance(value, bytes):
        return {"base64": b64encode(value).decode("ascii")}
    return value


def _decode(value: object, wanted: Any) -> Any:
    """Return `value` as the type `wanted`; raises CorruptObject."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return _decode_one_of(value, arguments)
    if origin is Literal and isinstance(value, str) and value in arguments:
        return value
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is ...:
            return tuple(_decode(each, arguments[0]) for each in value)
        if len(value) == len(arguments):
            return tuple(_decode(each, inner) for each, inner in zip(value, arguments, strict=True))
    if wanted in _TYPES and isinstance(value, Mapping):
        return _decode_object(value, wanted)
    if wanted is bytes and isinstance(value, Mapping) and isinstance(value.get("base64"), str):
        return _decode_bytes(value["base64"])
    if (wanted is type(None) and value is None) or (wanted in (str, bool) and type(value) is wanted):
        return value
    if wanted is int and type(value) is int and value >= 0:
        return value
    raise CorruptObject(f"what a unit did is damaged: {str(value)[:60]!r} is out of place")


def _decode_one_of(value: object, choices: tuple[Any, ...]) -> Any:
    if isinstance(value, Mapping) and "is" in value:
        wanted = _NAMES.get(str(value["is"]))
        if wanted in choices:
            return _decode(value, wanted)
    else:
        for wanted in choices:
            if wanted not in _TYPES and (value is None) == (wanted is type(None)):
                return _decode(value, wanted)
    raise CorruptObject(f"what a unit did is damaged: {str(value)[:60]!r} is out of place")


def _decode_object(value: Mapping[str, object], wanted: Any) -> Any:
    hints = _hints(wanted)
    fields = {name: each for name, each in value.items() if name != "is"}
    missing = set(hints) - set(fields) - set(wanted._field_defaults)
    if value.get("is") != wanted.__name__ or not set(fields) <= set(hints) or missing:
        raise CorruptObject(f"what a unit did is damaged: {str(dict(value))[:60]!r} is no {wanted.__name__}")
    return wanted(**{name: _decode(each, hints[name]) for name, each in fields.items()})


@cache
def _hints(wanted: Any) -> dict[str, Any]:
    return get_type_hints(wanted)


def _decode_bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise CorruptObject(f"what a unit did is damaged: {error}") from error

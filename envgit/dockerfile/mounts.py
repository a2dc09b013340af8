"""The value of `RUN --mount`: fields of a line of CSV, KEY=VALUE or KEY."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

from envgit.dockerfile.errors import ExpansionError
from envgit.suggestion import suggest

MountType = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked", ""]

_SIZE = re.compile(r"([0-9]+)(?:\.([0-9]+))? ?([kmgtp]?)i?b?", re.ASCII | re.IGNORECASE)
_MAX_SIZE = 2**63 - 1
_BOOLS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_FIELDS: Mapping[str, str] = {
    "type": "type",
    "from": "from_",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "readonly": "readonly",
    "ro": "readonly",
    "readwrite": "readwrite",
    "rw": "readwrite",
    "size": "size_bytes",
    "id": "id",
    "sharing": "sharing",
    "required": "required",
    "env": "env",
    "mode": "mode",
    "uid": "uid",
    "gid": "gid",
}
_SWITCHES = ("readonly", "readwrite", "required")
_ONLY_OF: Mapping[str, tuple[str, ...]] = {
    "required": ("secret", "ssh"),
    "size_bytes": ("tmpfs",),
    "sharing": ("cache",),
    "mode": ("cache", "secret", "ssh"),
    "uid": ("cache", "secret", "ssh"),
    "gid": ("cache", "secret", "ssh"),
}


class Mount(NamedTuple):
    """A mount of a RUN. `from_`: a stage, image or revision; "": the context. `source`: a path in it, or a secret's id."""

    type: MountType = "bind"
    from_: str = ""
    source: str = ""
    target: str = ""
    readonly: bool = True
    """False unless said otherwise: cache, tmpfs."""
    size_bytes: int = 0
    """Of tmpfs; 0: no limit."""
    id: str = ""
    """Of cache, secret and ssh."""
    sharing: Sharing = ""
    required: bool = False
    env: str | None = None
    """Of secret: the variable to set; "": the one named as the id."""
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def parse_mount(text: str, expand: Callable[[str], str] | None = None) -> Mount:
    """Parse the value of --mount; raises ExpansionError (which knows no line).

    `expand` is given every value but that of `from`; without it values count as they are.
    """
    given: dict[str, Any] = {}
    for name, key, value in _split_fields(text):
        parsed = _parse_value(name, key, expand(value) if expand and name != "from_" else value)
        given.update({"readonly": not parsed} if name == "readwrite" else {name: parsed})
    return _check(given, text)


def check_mount(text: str) -> None:
    """Check a --mount as far as that can be done before its values are expanded; raises ExpansionError."""
    fields = _split_fields(text)
    if not any("$" in value for _, _, value in fields):
        parse_mount(text)


def _split_fields(text: str) -> list[tuple[str, str, str]]:
    """Return the field of Mount (or readwrite), the key as written and the value of each part."""
    fields = []
    for part in _split_csv(text):
        key, equals, value = part.partition("=")
        name = _FIELDS.get(key.lower())
        if name is None:
            raise ExpansionError(f"unknown key '{key}' in --mount={text}", hint=suggest(key.lower(), _FIELDS))
        if not equals and name not in _SWITCHES:
            raise ExpansionError(f"'{key}' in --mount={text} has no value", hint=f"write: {key}=VALUE")
        if name == "from_" and "$" in value[:-1]:
            raise ExpansionError(
                f"variables do not expand in from= of --mount={text}",
                hint="name a stage: FROM ... AS NAME, and write from=NAME",
            )
        fields.append((name, key, value if equals else "true"))
    return fields


def _split_csv(text: str) -> list[str]:
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise ExpansionError(f"--mount={text} is no comma-separated list: {error}") from None
    if not all(fields):
        raise ExpansionError(f"an empty field in --mount={text}")
    return fields


def _parse_value(name: str, key: str, value: str) -> Any:
    if name in _SWITCHES:
        if value not in _BOOLS:
            raise ExpansionError(f"{key}={value} of --mount is neither true nor false")
        return _BOOLS[value]
    if name == "type":
        return _choose(key, value.lower(), get_args(MountType))
    if name == "sharing":
        return _choose(key, value.lower(), get_args(Sharing)[:-1])
    if name == "size_bytes":
        return _parse_size(key, value)
    if name in ("mode", "uid", "gid"):
        base = 8 if name == "mode" else 10
        digits = "01234567" if name == "mode" else "0123456789"
        if not value or value.strip(digits) or len(value) > 16 or int(value, base) >= 2**32:
            raise ExpansionError(f"{key}={value} of --mount is no {'octal mode' if name == 'mode' else 'id'}")
        return int(value, base)
    return value


def _choose(key: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ExpansionError(f"unknown {key}={value} of --mount", hint=suggest(value, known))
    return value


def _parse_size(key: str, value: str) -> int:
    found = _SIZE.fullmatch(value)
    size = -1
    if found and len(value) < 64:
        unit, fraction = 1024 ** " kmgtp".index(found[3].lower() or " "), found[2] or ""
        size = int(found[1]) * unit + int(fraction or 0) * unit // 10 ** len(fraction)
    if not 0 <= size <= _MAX_SIZE:
        raise ExpansionError(f"{key}={value} of --mount is no size", hint="write a number and a unit: 64m 1g")
    return size


def _check(given: dict[str, Any], text: str) -> Mount:
    """Put the fields together and refuse those that the type does not have."""
    kind = given.get("type", "bind")
    for name, types in _ONLY_OF.items():
        if name in given and kind not in types:
            key = name.removesuffix("_bytes")
            raise ExpansionError(f"--mount={text}: {key} is for type={' or type='.join(types)}, not type={kind}")
    made = Mount(**{"readonly": kind not in ("cache", "tmpfs"), **given})
    if kind == "secret":
        if made.from_:
            raise ExpansionError(f"--mount={text}: a secret is from nowhere", hint="remove from=")
        if made.source and made.id:
            raise ExpansionError(f"--mount={text}: both id and source name the secret", hint="write only id=")
        if not (made.source or made.target or made.id):
            raise ExpansionError(f"--mount={text}: which secret?", hint="write: --mount=type=secret,id=NAME")
    return made

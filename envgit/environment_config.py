"""An environment's config.json: the OCI image configuration's `config` object, canonical JSON (docs/format.md section 2)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from envgit.errors import CorruptObject
from envgit.model import EnvironmentConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_CONFIG = EnvironmentConfig(env=(("PATH", DEFAULT_PATH),), cmd=("/bin/sh",))


def parse_config(data: bytes) -> EnvironmentConfig:
    """Parse config.json; raises CorruptObject naming the field that has the wrong type."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptObject(f"config.json is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise CorruptObject("config.json is not a JSON object")
    _check_nesting(fields)
    pairs = (item.partition("=") for item in _strings(fields, "Env"))
    return EnvironmentConfig(
        env=tuple((key, value) for key, _, value in pairs),
        cmd=_strings(fields, "Cmd"),
        entrypoint=_strings(fields, "Entrypoint"),
        working_dir=_string(fields, "WorkingDir"),
        user=_string(fields, "User"),
        extra={key: value for key, value in fields.items() if key not in _FIELDS},
    )


MAX_NESTING = 64
"""Lists and objects within each other. OCI knows three; whoever reads one calls itself for each, and must not run out of stack."""
_FIELDS = ("Env", "Cmd", "Entrypoint", "WorkingDir", "User")


def declared_keys(config: EnvironmentConfig, name: str) -> tuple[str, ...]:
    """Return the keys, sorted, of a field that OCI spells as an object of empty objects (ExposedPorts, Volumes)."""
    value = config.extra.get(name)
    keys = value if isinstance(value, dict) else {}
    return tuple(sorted(key for key in keys if isinstance(key, str) and key and _is_plain(key)))


def declared_text(config: EnvironmentConfig, name: str) -> str:
    """Return a field of text that is no field of EnvironmentConfig (StopSignal), or ""."""
    value = config.extra.get(name)
    return value if isinstance(value, str) and _is_plain(value) else ""


def declared_label(config: EnvironmentConfig, name: str) -> str:
    """Return the text of a label (Labels), or ""."""
    labels = config.extra.get("Labels")
    value = labels.get(name) if isinstance(labels, dict) else None
    return value if isinstance(value, str) and _is_plain(value) else ""


def _check_nesting(fields: dict[str, object]) -> None:
    """Raise CorruptObject beyond MAX_NESTING. Level by level, as the answer must not depend on the stack of the caller."""
    level: list[object] = [fields]
    for _ in range(MAX_NESTING):
        within: list[object] = []
        for each in level:
            within += each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        level = [each for each in within if isinstance(each, (dict, list))]
        if not level:
            return
    raise CorruptObject(f"config.json has more than {MAX_NESTING} lists and objects within each other")


def _strings(fields: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) and _is_plain(item) for item in value):
        raise CorruptObject(f"config.json: {name} is not a list of strings")
    return tuple(value)


def _string(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name) or ""
    if not isinstance(value, str) or not _is_plain(value):
        raise CorruptObject(f"config.json: {name} is not a string")
    return value


def _is_plain(text: str) -> bool:
    """Say whether a text can be given to a program: no NUL, and no half of a surrogate pair (JSON can spell one)."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def format_config(config: EnvironmentConfig) -> bytes:
    """Return the one spelling: sorted keys, two-space indent, a final newline, empty fields left out."""
    fields: dict[str, object] = dict(config.extra)
    known: dict[str, object] = {
        "Env": [f"{key}={value}" for key, value in config.env],
        "Cmd": list(config.cmd),
        "Entrypoint": list(config.entrypoint),
        "WorkingDir": config.working_dir,
        "User": config.user,
    }
    fields.update({key: value for key, value in known.items() if value})
    return (json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

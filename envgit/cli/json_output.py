"""JSON for scripts: one object with "version" on top; paths as text, with "path_bytes" where text cannot hold them."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final

from envgit.model import Change, Child, Entry

from .screen import Screen

SCHEMA_VERSION: Final = 1

_TYPES: Final = {
    "f": "file",
    "d": "directory",
    "l": "symlink",
    "p": "fifo",
    "c": "character-device",
    "b": "block-device",
}


def write_json(screen: Screen, value: dict[str, Any]) -> None:
    """Print `value` as the one JSON object of a command. Everything is ASCII, so no terminal can be harmed."""
    screen.line(json.dumps({"version": SCHEMA_VERSION, **value}, indent=2))


def bytes_fields(name: str, data: bytes) -> dict[str, str]:
    """Return `name` as text; with `name_bytes` (base64) when it is not UTF-8."""
    try:
        return {name: data.decode("utf-8")}
    except UnicodeDecodeError:
        return {name: data.decode("utf-8", "replace"), f"{name}_bytes": b64encode(data).decode("ascii")}


def entry_fields(entry: Entry) -> dict[str, Any]:
    """Return what an entry is."""
    fields: dict[str, Any] = {"type": _TYPES[entry.type], "uid": entry.uid, "gid": entry.gid}
    if entry.type != "l":
        fields["mode"] = f"{entry.mode:04o}"
    fields["mtime_ns"] = entry.mtime_ns
    if entry.type == "f":
        fields["size"] = entry.size
        fields["sha256"] = entry.sha256.hex() if entry.sha256 else None
    if entry.type == "l":
        fields.update(bytes_fields("target", entry.target))
    if entry.device:
        fields["device"] = list(entry.device)
    if entry.xattrs:
        fields["xattrs"] = {
            name.decode("utf-8", "backslashreplace"): b64encode(value).decode("ascii") for name, value in entry.xattrs
        }
    return fields


def _child_fields(child: Child | None) -> dict[str, Any] | None:
    return None if child is None else entry_fields(child.entry)


def change_fields(change: Change) -> dict[str, Any]:
    """Return one change with what was there and what is there."""
    fields: dict[str, Any] = {
        **bytes_fields("path", change.path),
        "kind": change.kind,
        "old": _child_fields(change.old),
        "new": _child_fields(change.new),
    }
    for side, links in (("old", change.old_links), ("new", change.new_links)):
        if change.old_links != change.new_links:
            fields[side]["links"] = [bytes_fields("path", path) for path in links]
    return fields


def message_text(message: bytes) -> str:
    return message.decode("utf-8", "replace")

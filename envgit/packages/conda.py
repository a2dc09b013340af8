"""conda: one JSON file per package in the prefix's conda-meta."""

from __future__ import annotations

from collections.abc import Iterator

from envgit.packages.json_file import json_object
from envgit.packages.package import MalformedRecord, Package, Place, Record, check_optional_word, check_word
from envgit.packages.view import TreeView

FILE_MAX_BYTES = 64 * 1024 * 1024
DIRECTORY = b"conda-meta"


def iter_records(view: TreeView, place: Place) -> Iterator[Record]:
    """Yield the JSON files; `history` and the like are none."""
    for name, node in sorted(view.list_directory(place.path).items()):
        if node.type == "f" and name.endswith(b".json"):
            yield Record(place.path + b"/" + name, node.identity)


def read_record(view: TreeView, place: Place, record: Record) -> Package | None:
    """Return the package of a file."""
    data = view.read_file(record.path, FILE_MAX_BYTES)
    if data is None:
        raise MalformedRecord("it is not a file")
    fields = json_object(data)
    return Package(
        "conda",
        check_word(_text(fields, "name"), "name"),
        check_word(_text(fields, "version"), "version"),
        check_optional_word(_text(fields, "subdir"), "platform"),
        place.path,
        check_optional_word((_text(fields, "channel") or "").rstrip("/"), "channel"),
    )


def _text(fields: dict[str, object], key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) else None

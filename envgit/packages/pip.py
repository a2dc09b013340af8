"""Python: the *.dist-info and *.egg-info of a site-packages or dist-packages, whoever installed them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from envgit.deb822 import field_pattern, first_lines
from envgit.packages.package import MalformedRecord, Package, Place, Record, check_word, clean_summary
from envgit.packages.view import TreeView

METADATA_MAX_BYTES = 8 * 1024 * 1024
DIRECTORIES = (b"site-packages", b"dist-packages")
_WANTED = field_pattern("Name", "Version", "Summary")
_END_OF_HEADERS = re.compile(rb"(?:\A|\n)\r?\n")
_FILES = {b".dist-info": b"METADATA", b".egg-info": b"PKG-INFO", b".egg": b"EGG-INFO/PKG-INFO"}
_LEFT_BEHIND = b"~"


def iter_records(view: TreeView, place: Place) -> Iterator[Record]:
    """Yield the metadata of every distribution. What pip moved aside before it removes it (`~name`) is passed over."""
    for name, node in sorted(view.list_directory(place.path).items()):
        stem, dot, suffix = name.rpartition(b".")
        inside = _FILES.get(dot + suffix)
        if inside is None or not stem or name.startswith(_LEFT_BEHIND):
            continue
        path = place.path + b"/" + name
        if node.type == "d":
            yield Record(path + b"/" + inside, node.identity)
        elif node.type == "f" and suffix == b"egg-info":
            yield Record(path, node.identity)


def read_record(view: TreeView, place: Place, record: Record) -> Package | None:
    """Return the distribution of a METADATA or PKG-INFO (core metadata: headers, then a description of any length)."""
    data = view.read_file(record.path, METADATA_MAX_BYTES)
    if data is None:
        raise MalformedRecord("it is not there")
    headers = first_lines(_END_OF_HEADERS.split(data, maxsplit=1)[0], _WANTED)
    return Package(
        "pip",
        check_word(headers.get(b"name"), "name"),
        check_word(headers.get(b"version"), "version"),
        None,
        place.path,
        None,
        clean_summary(headers.get(b"summary")),
    )

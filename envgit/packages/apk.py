"""apk (Alpine): the text database /lib/apk/db/installed, also where version 3 keeps it below /usr."""

from __future__ import annotations

import re
from collections.abc import Iterator

from envgit.packages.package import Package, Place, Record, check_optional_word, check_word, clean_summary
from envgit.packages.view import TreeView

INSTALLED_MAX_BYTES = 256 * 1024 * 1024
PLACES = (b"lib/apk/db/installed", b"usr/lib/apk/db/installed")
_WANTED = re.compile(rb"^([PVAoT]):(.*)", re.MULTILINE)


def iter_records(view: TreeView, place: Place) -> Iterator[Record]:
    """Yield one paragraph per package."""
    for block in (view.read_file(place.path, INSTALLED_MAX_BYTES) or b"").split(b"\n\n"):
        paragraph = block.strip(b"\n")
        if paragraph:
            yield Record(place.path, paragraph, paragraph)


def read_record(view: TreeView, place: Place, record: Record) -> Package | None:
    """Return the package of a paragraph: one letter per field, files of the package (F, R, Z) after them."""
    fields: dict[bytes, bytes] = {}
    header = record.data.partition(b"\nF:")[0]
    for key, value in _WANTED.findall(header):
        fields.setdefault(key, value)
    name = check_word(fields.get(b"P"), "name")
    source = check_optional_word(fields.get(b"o"), "source")
    return Package(
        "apk",
        name,
        check_word(fields.get(b"V"), "version"),
        check_optional_word(fields.get(b"A"), "architecture"),
        place.path,
        source if source != name else None,
        clean_summary(fields.get(b"T")),
    )

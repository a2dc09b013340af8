"""dpkg: /var/lib/dpkg/status, and status.d of images that have no dpkg (distroless)."""

from __future__ import annotations

from collections.abc import Iterator

from envgit.deb822 import field_pattern, first_lines, iter_paragraphs
from envgit.packages.package import Package, Place, Record, check_optional_word, check_word, clean_summary
from envgit.packages.view import TreeView

STATUS_MAX_BYTES = 256 * 1024 * 1024
PLACES = (b"var/lib/dpkg/status", b"var/lib/dpkg/status.d")
_WANTED = field_pattern("Package", "Version", "Architecture", "Status", "Source", "Description")
_ABSENT = (b"not-installed", b"config-files")


def iter_records(view: TreeView, place: Place) -> Iterator[Record]:
    """Yield the paragraphs of the status file, or of every file of status.d (but for the lists of checksums)."""
    node = view.find_node(place.path)
    if node is None:
        return
    paths = [place.path]
    if node.type == "d":
        names = view.list_directory(place.path)
        paths = [place.path + b"/" + name for name in sorted(names) if not name.endswith(b".md5sums")]
    for path in paths:
        for paragraph in iter_paragraphs(view.read_file(path, STATUS_MAX_BYTES) or b""):
            yield Record(path, paragraph, paragraph)


def read_record(view: TreeView, place: Place, record: Record) -> Package | None:
    """Return the package of a paragraph; None when only its configuration is left."""
    fields = first_lines(record.data, _WANTED)
    if fields.get(b"status", b"installed").rpartition(b" ")[2] in _ABSENT:
        return None
    return Package(
        "dpkg",
        check_word(fields.get(b"package"), "name"),
        check_word(fields.get(b"version"), "version"),
        check_optional_word(fields.get(b"architecture"), "architecture"),
        place.path,
        check_optional_word(fields.get(b"source", b"").partition(b" ")[0], "source"),
        clean_summary(fields.get(b"description")),
    )

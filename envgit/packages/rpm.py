"""rpm: the database in any of its three forms, sqlite, ndb and Berkeley DB hash."""

from __future__ import annotations

from collections.abc import Iterator

from envgit.packages import rpm_berkeley, rpm_header, rpm_ndb
from envgit.packages.package import (
    MalformedRecord,
    Package,
    Place,
    Record,
    check_optional_word,
    check_word,
    clean_summary,
)
from envgit.packages.rpm_sqlite import SqliteFile
from envgit.packages.view import TreeView

DATABASE_MAX_BYTES = 512 * 1024 * 1024
LOG_MAX_BYTES = 64 * 1024 * 1024
PLACES = (b"usr/lib/sysimage/rpm", b"var/lib/rpm", b"usr/share/rpm")
SQLITE, NDB, BERKELEY = b"rpmdb.sqlite", b"Packages.db", b"Packages"
FILES = (SQLITE, NDB, BERKELEY)
"""Newest first: after a conversion rpm leaves the old one behind at times."""


def database_in(view: TreeView, path: bytes) -> bytes | None:
    """Return the name of the database in a directory; None when there is none."""
    names = view.list_directory(path)
    return next((name for name in FILES if name in names), None)


def iter_records(view: TreeView, place: Place) -> Iterator[Record]:
    """Yield the header of every package; raises MalformedRecord in the middle of a damaged database."""
    name = database_in(view, place.path)
    if name is None:
        return
    path = place.path + b"/" + name
    data = view.read_file(path, DATABASE_MAX_BYTES) or b""
    left = 2 * len(data)
    if name == SQLITE:
        log = view.read_file(path + b"-wal", LOG_MAX_BYTES) or b""
        left += 2 * len(log)
        blobs = _blobs(SqliteFile(data, log))
    else:
        blobs = rpm_ndb.iter_headers(data) if name == NDB else rpm_berkeley.iter_headers(data)
    for blob in blobs:
        left -= len(blob)
        if left < 0:  # a small file must not become a large one
            raise MalformedRecord("its headers are larger than itself")
        yield Record(path, blob, blob)


def _blobs(database: SqliteFile) -> Iterator[bytes]:
    for row in database.iter_rows(b"Packages"):
        if len(row) < 2 or not isinstance(row[1], bytes):
            raise MalformedRecord("a row of Packages has no header")
        yield row[1]


def read_record(view: TreeView, place: Place, record: Record) -> Package | None:
    """Return the package of a header. Its version is [EPOCH:]VERSION-RELEASE."""
    tags = rpm_header.read_header(record.data)

    def text(tag: int) -> bytes | None:
        value = tags.get(tag)
        return value if isinstance(value, bytes) else None

    version = check_word(text(rpm_header.VERSION), "version") + "-" + check_word(text(rpm_header.RELEASE), "release")
    epoch = tags.get(rpm_header.EPOCH)
    source = text(rpm_header.SOURCE_RPM)
    return Package(
        "rpm",
        check_word(text(rpm_header.NAME), "name"),
        f"{epoch}:{version}" if isinstance(epoch, int) else version,
        check_optional_word(text(rpm_header.ARCHITECTURE), "architecture"),
        place.path,
        check_optional_word(source if source != b"(none)" else None, "source"),
        clean_summary(text(rpm_header.SUMMARY)),
    )

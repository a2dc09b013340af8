"""Every package of a tree, and every notice about what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from typing import Protocol

from envgit.packages import apk, conda, dpkg, npm, pip, rpm
from envgit.packages.finding import find_places
from envgit.packages.package import MalformedRecord, Package, Place, Record
from envgit.packages.view import TreeView

MOST_RECORDS = 200_000
"""Of one place. More than this no machine has, and a small hostile file can claim."""


class Database(Protocol):
    """What each manager's module is."""

    def iter_records(self, view: TreeView, place: Place) -> Iterator[Record]:
        """Yield the records of a place; raises MalformedRecord where the rest cannot be told apart."""
        ...

    def read_record(self, view: TreeView, place: Place, record: Record) -> Package | None:
        """Return the package of a record, None when it tells of none; raises MalformedRecord."""
        ...


DATABASES: dict[str, Database] = {"dpkg": dpkg, "apk": apk, "rpm": rpm, "pip": pip, "npm": npm, "conda": conda}
"""By the name of the manager, in the order of listings."""

Notice = Callable[[str], None]


def read_packages(view: TreeView, managers: Set[str], notice: Notice) -> list[Package]:
    """Return all packages of the managers named, sorted by manager, place, name, version and architecture."""
    found: list[Package] = []
    for place in find_places(view, managers, notice):
        for record in iter_place(view, place, notice):
            package = read_one(view, place, record, notice)
            if package is not None:
                found.append(package)
    return sorted(found, key=sort_key)


def iter_place(view: TreeView, place: Place, notice: Notice) -> Iterator[Record]:
    """Yield the records of a place; says what ends them early."""
    try:
        for count, record in enumerate(DATABASES[place.manager].iter_records(view, place)):
            if count == MOST_RECORDS:
                raise MalformedRecord(f"it has more than {MOST_RECORDS:,} records")
            yield record
    except MalformedRecord as error:
        notice(f"{shown(place.path)} is not what {place.manager} writes, its packages are not all listed: {error}")


def read_one(view: TreeView, place: Place, record: Record, notice: Notice) -> Package | None:
    """Return a record's package; says why there is none when it is malformed."""
    try:
        return DATABASES[place.manager].read_record(view, place, record)
    except MalformedRecord as error:
        notice(f"a record of {place.manager}'s in {shown(record.path)} was skipped: {error}")
        return None


def sort_key(package: Package) -> tuple[int, bytes, str, str, str]:
    """Order packages by manager, place, name, version and architecture."""
    manager = list(DATABASES).index(package.manager)
    return manager, package.place, package.name, package.version, package.architecture or ""


def shown(path: bytes) -> str:
    """Return a path for a notice, harmless on a terminal."""
    text = path.decode("utf-8", "backslashreplace")
    return "/" + (text if text.isprintable() else ascii(text)[1:-1])

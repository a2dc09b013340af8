"""Which packages differ between two trees. What both have the same is skipped by its identity, directory by directory and
record by record, so a difference costs what it changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Set
from typing import Literal

from envgit.light_typing import NamedTuple
from envgit.packages.finding import SEARCHED, find_places
from envgit.packages.package import Package, Place, Record
from envgit.packages.reading import Notice, iter_place, read_one, sort_key
from envgit.packages.view import TreeView


class PackageChange(NamedTuple):
    """A package added (`old` is None), removed (`new` is None), or there in another version or architecture."""

    old: Package | None
    new: Package | None

    @property
    def kind(self) -> Literal["A", "D", "M"]:
        return "A" if self.old is None else "D" if self.new is None else "M"

    @property
    def package(self) -> Package:
        """The new one, or of a removed package the old one."""
        found = self.new or self.old
        assert found is not None
        return found


def compare_packages(old: TreeView, new: TreeView, managers: Set[str], notice: Notice) -> list[PackageChange]:
    """Return what differs, by manager, place and name. `notice` hears of malformed records of the new tree only."""
    old_places = set(find_places(old, managers, _ignore, beside=new))
    new_places = set(find_places(new, managers, notice, beside=old))
    removed: list[Package] = []
    added: list[Package] = []
    for place in sorted(old_places | new_places):
        anywhere = place.manager in SEARCHED
        before = list(iter_place(old, place, _ignore)) if anywhere or place in old_places else []
        after = list(iter_place(new, place, notice)) if anywhere or place in new_places else []
        common = {_key(record) for record in before if record.identity is not None} & {_key(record) for record in after}
        removed += _read(old, place, before, common, _ignore)
        added += _read(new, place, after, common, notice)
    return match_packages(removed, added)


def match_packages(removed: Iterable[Package], added: Iterable[Package]) -> list[PackageChange]:
    """Return the changes between two sets of packages; what is in both (a record that changed elsewhere) is none."""
    groups: dict[tuple[str, bytes, str], tuple[list[Package], list[Package]]] = {}
    for side, packages in enumerate((removed, added)):
        for package in packages:
            place = package.place if package.manager in SEARCHED else b""
            key = (package.manager, place, package.folded_name)
            groups.setdefault(key, ([], []))[side].append(package)
    changes: list[PackageChange] = []
    for old, new in groups.values():
        changes += _match(old, new)
    return sorted(changes, key=lambda change: sort_key(change.package))


def _match(old: list[Package], new: list[Package]) -> Iterator[PackageChange]:
    """Pair the packages of one name: those of one architecture, and the last one on each side, are each other's successors."""
    same = Counter(_version(package) for package in old) & Counter(_version(package) for package in new)
    old, new = _without(old, same), _without(new, same)
    for architecture in sorted({package.architecture or "" for package in new}):
        before = [package for package in old if (package.architecture or "") == architecture]
        after = [package for package in new if (package.architecture or "") == architecture]
        if len(before) == 1 and len(after) == 1:
            yield PackageChange(before[0], after[0])
            old.remove(before[0])
            new.remove(after[0])
    if len(old) == 1 and len(new) == 1:
        yield PackageChange(old.pop(), new.pop())
    for package in old:
        yield PackageChange(package, None)
    for package in new:
        yield PackageChange(None, package)


def _version(package: Package) -> tuple[str, str]:
    return package.version, package.architecture or ""


def _without(packages: list[Package], same: Counter[tuple[str, str]]) -> list[Package]:
    left = Counter(same)
    kept = []
    for package in packages:
        if left[_version(package)]:
            left[_version(package)] -= 1
        else:
            kept.append(package)
    return kept


def _key(record: Record) -> tuple[bytes, bytes | None]:
    return record.path, record.identity


def _read(
    view: TreeView, place: Place, records: list[Record], common: Set[tuple[bytes, bytes | None]], notice: Notice
) -> Iterator[Package]:
    for record in records:
        if _key(record) not in common:
            package = read_one(view, place, record, notice)
            if package is not None:
                yield package


def _ignore(message: str) -> None:
    """What is wrong with the old tree was said when it was new."""

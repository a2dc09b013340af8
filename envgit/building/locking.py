"""envgit.lock of a build: what it resulted in, and whether another build results in the same (docs/lock.md)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from envgit.building.loading import Loaded, read_file
from envgit.building.package_sets.package_list import parse_package_list
from envgit.building.package_sets.packages_file import read_packages
from envgit.declaration.lock_file import LockedEnvironment, LockedPackage, LockFile, format_lock, parse_lock
from envgit.errors import Conflict, EnvgitError
from envgit.layers.compare import diff_trees
from envgit.repo import Repository
from envgit.snapshot import Snapshot, read_snapshot
from envgit.store import storage

_SHOWN = 10
"""How many differences a message names."""


class LockedChange(Conflict):
    """A locked build came out differently. `differences`: one line each; the branch has not moved."""

    code = "locked-change"

    def __init__(self, message: str, differences: tuple[str, ...], *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.differences = differences


def lock_environment(repo: Repository, loaded: Loaded, base: str, result: str, digest: str) -> LockedEnvironment:
    """Return what the lock says about a finished build; `base` and `result` are ids of commits."""
    assert loaded.environment is not None and loaded.recipe.epoch is not None
    first = read_snapshot(repo.objects, bytes.fromhex(base))
    last = read_snapshot(repo.objects, bytes.fromhex(result))
    assert isinstance(last.root.content, bytes)
    return LockedEnvironment(
        name=loaded.environment.name,
        source=loaded.environment.source,
        base=first.root.sha256.hex(),
        source_date_epoch=loaded.recipe.epoch,
        commit=result,
        tree=last.root.content.hex(),
        root=last.root.sha256.hex(),
        packages=parse_package_list(read_packages(repo, last)),
    )


def write_lock(loaded: Loaded, made: LockedEnvironment) -> bool:
    """Put an environment into envgit.lock, at once and durably; return whether the file changed.

    A build that differs only by the id of its commit (who built it, and when) changes nothing: colleagues who build the same
    lock have the same file. Raises DeclarationError for a lock that cannot be read, StorageError.
    """
    # Read again: another build may have written its environment meanwhile.
    old = read_file(loaded.lock_path)
    lock = parse_lock(old, loaded.lock_path) if old is not None else LockFile()
    known = lock.find(made.name)
    if known is not None and known._replace(commit=made.commit) == made:
        return False
    new = format_lock(lock.replace(made))
    if new == old:
        return False
    storage.write_file(loaded.lock_path, new, step="lock", mode=0o644)
    return True


def check_locked(repo: Repository, locked: LockedEnvironment, base: Snapshot, result: Snapshot) -> None:
    """Compare a build with the lock: its base, its packages, then its files. Raises LockedChange that says what differs first."""
    if base.root.sha256.hex() != locked.base:
        raise LockedChange(
            f"the base of {locked.name!r} is not the one that is locked: {locked.source} has changed",
            (f"base: {base.root.sha256.hex()[:12]}, locked: {locked.base[:12]}",),
            hint="name it by a digest or a snapshot; or move the lock: envgit update",
        )
    moves = compare_packages(locked.packages, parse_package_list(read_packages(repo, result)))
    if moves:
        differences = tuple(map(str, moves))
        raise LockedChange(
            f"the packages of {locked.name!r} are not those that are locked: {_shown(differences)}",
            differences,
            hint="envgit update moves the lock",
        )
    if result.root.sha256.hex() != locked.root:
        differences = _different_paths(repo, locked, result)
        raise LockedChange(
            f"the files of {locked.name!r} are not those that are locked{': ' if differences else ''}{_shown(differences)}",
            differences,
            hint="docs/lock.md says what makes files differ; envgit build, without --locked, moves the lock",
        )


class PackageMove(NamedTuple):
    """A line of the lock that appeared (`old` is None), went (`new` is None) or changed."""

    old: LockedPackage | None
    new: LockedPackage | None

    @property
    def package(self) -> LockedPackage:
        found = self.new or self.old
        assert found is not None
        return found

    def __str__(self) -> str:
        """Return `+ name version (manager)`, `- ...` or `~ name old -> new (manager)`, as the summaries of commits."""
        old, new, package = self.old, self.new, self.package
        if old is None or new is None:
            return f"{'+' if old is None else '-'} {package.name} {package.version} ({package.manager})"
        if old.version == new.version:
            return f"~ {package.name} {package.version} ({package.manager}: another file)"
        return f"~ {package.name} {old.version} -> {new.version} ({package.manager})"


def compare_packages(old: Iterable[LockedPackage], new: Iterable[LockedPackage]) -> tuple[PackageMove, ...]:
    """Return what differs between two sets, by manager, name and architecture."""
    before = {(each.manager, each.name, each.architecture): each for each in old}
    after = {(each.manager, each.name, each.architecture): each for each in new}
    pairs = ((before.get(key), after.get(key)) for key in sorted(before.keys() | after.keys()))
    return tuple(PackageMove(left, right) for left, right in pairs if left != right)


def _different_paths(repo: Repository, locked: LockedEnvironment, result: Snapshot) -> tuple[str, ...]:
    """Return the first paths that differ from the locked commit, when this repository has that."""
    oid = bytes.fromhex(locked.commit)
    try:
        if not repo.objects.contains(oid):
            return ()
        old = read_snapshot(repo.objects, oid).root
        changes = islice(diff_trees(old, result.root, repo.reader, paths=(), with_mtime=True), _SHOWN + 1)
        return tuple("/" + change.path.decode("utf-8", "surrogateescape") for change in changes)
    except EnvgitError:
        return ()


def _shown(differences: tuple[str, ...]) -> str:
    more = ", and more" if len(differences) > _SHOWN else ""
    return ", ".join(differences[:_SHOWN]) + more

"""Drift of packages: which were installed, removed or changed by hand, and what of that belongs into the declaration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from envgit.building.drifting.values import AddPackage, DriftItem, RemovePackage
from envgit.deb822 import field_pattern, first_lines, iter_paragraphs
from envgit.declaration.values import Manager, Package
from envgit.packages.comparing import PackageChange
from envgit.packages.package import Package as Installed
from envgit.packages.summary import change_text
from envgit.packages.view import TreeView

_MANAGERS: Final[Mapping[str, Manager]] = {"dpkg": "apt", "apk": "apk", "rpm": "dnf", "pip": "pip", "npm": "npm"}
_STATE_MAX_BYTES = 64 << 20
_AUTO = field_pattern("Package", "Architecture", "Auto-Installed")
_SYSTEM_PYTHON = re.compile(rb"usr/(?:local/)?lib/python3[0-9.]*/(?:site|dist)-packages\Z")
_SYSTEM_NODE = (b"usr/local/lib/node_modules", b"usr/lib/node_modules")
_OF_DEBIAN = (b"usr/lib/python3/dist-packages", b"usr/share/nodejs", b"usr/share/npm")
"""Where Debian puts packages of other managers: dpkg's record tells of them already."""


def package_items(changes: Iterable[PackageChange], declared: Sequence[Package], new: TreeView) -> Iterator[DriftItem]:
    """Yield an item per package that differs; `new` is what the environment has now."""
    wanted = {(package.manager, package.name.partition(":")[0]): package for package in declared}
    automatic = _automatic(new)
    world = _world(new)
    for change in changes:
        installed = change.package
        manager = _MANAGERS.get(installed.manager)
        if installed.manager in ("pip", "npm") and installed.place.startswith(_OF_DEBIAN):
            continue
        mark, _, what = change_text(change).partition(" ")
        item = DriftItem("package", mark, f"{what} ({manager or installed.manager})")
        if manager is None:
            yield item._replace(note="a [[step]] can do it")
        elif change.old is None:
            yield _added(item, manager, installed, new, automatic, world)
        elif change.new is None:
            yield _removed(item, manager, installed, wanted.get((manager, installed.folded_name)))
        else:
            yield _moved(item, manager, change.new, wanted.get((manager, installed.folded_name)))


def _added(
    item: DriftItem,
    manager: Manager,
    package: Installed,
    new: TreeView,
    automatic: frozenset[tuple[str, str]],
    world: frozenset[str],
) -> DriftItem:
    needed = item._replace(note="others need it")
    if manager == "apt" and (package.name, package.architecture or "") in automatic:
        return needed
    if manager == "apk" and package.name not in world:
        return needed
    if manager == "pip":
        if not _SYSTEM_PYTHON.match(package.place):
            return item._replace(note=f"in /{package.place.decode('utf-8', 'replace')}: a [[step]] can do it")
        if not _is_requested(new, package):
            return needed
    if manager == "npm" and package.place not in _SYSTEM_NODE:
        if b"/node_modules/" in package.place:
            return needed
        return item._replace(note=f"in /{package.place.decode('utf-8', 'replace')}: a [[step]] can do it")
    return item._replace(edits=(AddPackage(manager, package.folded_name),))


def _removed(item: DriftItem, manager: Manager, package: Installed, declared: Package | None) -> DriftItem:
    if declared is None:
        return item._replace(note="not declared itself: a [[step]] can remove it")
    return item._replace(edits=(RemovePackage(manager, declared.name),))


def _moved(item: DriftItem, manager: Manager, package: Installed, declared: Package | None) -> DriftItem:
    if declared is None or not declared.constraint or _allows(declared, package.version):
        return item._replace(note=f"envgit update {package.folded_name}")
    operator = {"apt": "=", "apk": "=", "dnf": "-", "pip": "==", "npm": "@"}[manager]
    extras = re.search(r"\[[^\]]*\]", declared.text) if manager == "pip" else None
    spec = f"{declared.name}{extras.group() if extras else ''}{operator}{package.version}"
    return item._replace(edits=(AddPackage(manager, spec),))


def _allows(declared: Package, version: str) -> bool:
    """Say whether a constraint allows a version; of those that are no pattern, that it does."""
    pattern = declared.constraint.removeprefix("==").removeprefix("=")
    return pattern == declared.constraint or fnmatchcase(version, pattern)


def _automatic(view: TreeView) -> frozenset[tuple[str, str]]:
    """Return what apt installed because something else needed it: (name, architecture)."""
    found = set()
    for paragraph in iter_paragraphs(view.read_file(b"var/lib/apt/extended_states", _STATE_MAX_BYTES) or b""):
        fields = first_lines(paragraph, _AUTO)
        if fields.get(b"auto-installed") == b"1":
            name, architecture = fields.get(b"package", b""), fields.get(b"architecture", b"")
            found.add((name.decode("utf-8", "replace"), architecture.decode("utf-8", "replace")))
            # apt notes a package for all architectures under the machine's.
            found.add((name.decode("utf-8", "replace"), "all"))
    return frozenset(found)


def _world(view: TreeView) -> frozenset[str]:
    """Return what apk was asked for."""
    words = (view.read_file(b"etc/apk/world", _STATE_MAX_BYTES) or b"").decode("utf-8", "replace").split()
    return frozenset(re.split(r"[=<>~@]", word, maxsplit=1)[0] for word in words)


def _is_requested(view: TreeView, package: Installed) -> bool:
    """Say whether pip was asked for it; what says nothing about that was."""
    for name in view.list_directory(package.place):
        stem, dot, suffix = name.decode("utf-8", "replace").rpartition(".")
        found, _, version = stem.rpartition("-")
        if suffix == "dist-info" and version == package.version and _fold(found) == package.folded_name:
            inside = view.list_directory(package.place + b"/" + name)
            return b"REQUESTED" in inside or b"INSTALLER" not in inside
    return True


def _fold(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

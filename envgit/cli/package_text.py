"""Packages and their changes as text and as JSON (docs/packages.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from envgit.packages.comparing import PackageChange
from envgit.packages.package import Package
from envgit.packages.summary import change_text

from .json_output import bytes_fields, write_json
from .screen import Screen
from .session import Session

_COLORS: Final = {"A": "green", "D": "red", "M": "yellow"}


def package_lines(packages: Sequence[Package], screen: Screen) -> Iterator[str]:
    """Yield `manager name version architecture /place`, in columns; `-` for no architecture."""
    rows = [
        (package.manager, screen.safe(package.name), screen.safe(package.version), package.architecture or "-")
        for package in packages
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    for row, package in zip(rows, packages, strict=True):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"{cells}  {screen.paint('dim', screen.path(package.place, b'/'))}"


def change_lines(changes: Sequence[PackageChange], screen: Screen) -> Iterator[str]:
    """Yield `+ numpy 2.1.0 (pip /usr/lib/...)`."""
    for change in changes:
        package = change.package
        where = f"({package.manager} {screen.path(package.place, b'/')})"
        yield f"{screen.paint(_COLORS[change.kind], screen.safe(change_text(change)))} {screen.paint('dim', where)}"


def write_packages_json(screen: Screen, revision: str | None, oid: str | None, packages: Sequence[Package]) -> None:
    listed = [
        {
            "manager": package.manager,
            "name": package.name,
            "version": package.version,
            "architecture": package.architecture,
            "source": package.source,
            "summary": package.summary,
            **bytes_fields("place", package.place),
        }
        for package in packages
    ]
    write_json(screen, {"revision": revision, "commit": oid, "packages": listed})


def write_changes_json(screen: Screen, changes: Sequence[PackageChange]) -> None:
    listed = [
        {
            "kind": change.kind,
            "manager": change.package.manager,
            "name": change.package.name,
            "old": _side(change.old),
            "new": _side(change.new),
            **bytes_fields("place", change.package.place),
        }
        for change in changes
    ]
    write_json(screen, {"packages": listed})


def _side(package: Package | None) -> dict[str, Any] | None:
    return None if package is None else {"version": package.version, "architecture": package.architecture}


def warn_of(session: Session, notices: Sequence[str]) -> None:
    """Say what was skipped, on standard error."""
    for notice in notices:
        session.monitor.warn(notice)

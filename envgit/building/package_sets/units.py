"""The package sets of a declaration as units: one per package manager, a script that runs in the environment.

The scripts (scripts/*.sh) leave equal trees when they run twice over equal trees and archives, and say exactly what they installed.
What makes them so, and what packages nevertheless do differently each time, is in docs/lock.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from envgit.building.package_sets.package_list import format_package_list
from envgit.building.record import record_of
from envgit.building.unit import CacheMount, Injected, Origin, Run, SecretMount, StepMount, Unit
from envgit.declaration.errors import DeclarationError
from envgit.declaration.lock_file import LockedPackage
from envgit.declaration.values import MANAGERS, Manager, Package

LIST_PATH = "/run/envgit/packages"
_SCRIPT_PATH = "/run/envgit/install"
_PINS_PATH = "/run/envgit/pins"
_CACHE_PATH = "/run/envgit/cache"
SCRIPT_VERSIONS: Final[Mapping[Manager, int]] = {"apt": 1, "pip": 1, "npm": 1}
"""Part of the key: goes up when a script leaves other files than before, so that what the old one made is not reused."""
_BY_STEP: Final[Mapping[Manager, str]] = {"apk": "apk add --no-cache", "dnf": "dnf install -y"}
"""Managers that there is no script for, and what a step of one's own would run."""
_SECRETS: Final[Mapping[Manager, tuple[str, ...]]] = {
    "apt": ("apt-auth.conf",),
    "pip": ("pip.conf",),
    "npm": ("npmrc",),
}
"""What `--secret id=NAME` gives the scripts, beside ca-certificates: how to reach private archives. Never recorded."""


def package_units(
    packages: Iterable[Package], pins: Sequence[LockedPackage] | None, epoch: int | None, *, exact: bool = False
) -> list[Unit]:
    """Return the units that install `packages`, in the order of the managers.

    `pins`: versions to prefer where they are to be had and fit the declaration; with `exact` the step fails unless it installs just
    these, with these hashes. None: the newest that the declaration allows. The pins are no part of the records: compare
    what a commit has (its packages.lock) with them before it is reused. `epoch` reaches the scripts as SOURCE_DATE_EPOCH.
    Raises DeclarationError for a manager that there is no script for.
    """
    wanted: dict[Manager, list[Package]] = {}
    for package in packages:
        wanted.setdefault(package.manager, []).append(package)
    return [_unit(manager, wanted[manager], pins, exact) for manager in MANAGERS if manager in wanted]


def read_script(manager: str) -> bytes:
    """Return the script of a package manager."""
    path = os.path.join(os.path.dirname(__file__), "scripts", f"{manager}.sh")
    with open(path, "rb") as file:
        return file.read()


def _unit(manager: Manager, packages: Sequence[Package], pins: Sequence[LockedPackage] | None, exact: bool) -> Unit:
    if manager in _BY_STEP:
        words = " ".join(package.text for package in packages)
        raise DeclarationError(
            packages[0].place,
            f"packages.{manager} cannot be installed by this version",
            hint=f'[[step]] run = "{_BY_STEP[manager]} {words}"',
        )
    # Twice in the list, in any order: the same set.
    unique = {package.text: package for package in packages}
    ordered = [unique[text] for text in sorted(unique)]
    specs = [package.text for package in ordered]
    of_manager = None if pins is None else [pin for pin in pins if pin.manager == manager]
    mode = "newest" if of_manager is None else "locked" if exact else "prefer"
    arguments = [_spec(package, of_manager, exact) for package in ordered]
    moving = ",".join(package.name for package in ordered if not _is_pinned(package, of_manager or ()))
    mounts: list[StepMount] = [
        SecretMount(name, f"/run/secrets/{name}") for name in ("ca-certificates", *_SECRETS[manager])
    ]
    if manager == "apt":
        mounts.append(CacheMount("envgit-apt", _CACHE_PATH, sharing="locked"))
    run = Run(
        ("/bin/sh", _SCRIPT_PATH, mode, moving, *arguments),
        workdir="/",
        user="0:0",
        mounts=tuple(mounts),
        files=(
            Injected(_SCRIPT_PATH, read_script(manager)),
            Injected(_PINS_PATH, format_package_list(of_manager or ())),
        ),
        packages=LIST_PATH,
    )
    # The record says what is wanted; how it is done goes by the version of the script.
    shown = Run(
        ("envgit-install", manager, str(SCRIPT_VERSIONS[manager]), *specs), workdir="/", user="0:0", packages=LIST_PATH
    )
    record = {**record_of(shown), "manager": manager, "packages": specs}
    place = packages[0].place
    return Unit(f"packages: {manager} {' '.join(specs)}", Origin(place.file, place.line), record, run)


def _find_pin(package: Package, pins: Sequence[LockedPackage]) -> LockedPackage | None:
    name, _, architecture = package.name.partition(":") if package.manager == "apt" else (package.name, "", "")
    for pin in pins:
        if pin.name == name and architecture in ("", pin.architecture):
            return pin
    return None


def _is_pinned(package: Package, pins: Sequence[LockedPackage]) -> bool:
    """Say whether a pin is what the declaration asks for, as far as that can be told here."""
    pin = _find_pin(package, pins)
    if pin is None:
        return False
    if package.manager == "apt" and package.constraint.startswith("="):
        return fnmatchcase(pin.version, package.constraint[1:])
    return True


def _spec(package: Package, pins: Sequence[LockedPackage] | None, exact: bool) -> str:
    """Return what the manager is told: a pattern of versions would go before a pin, so the pin's version takes its place."""
    if pins is None or package.manager != "apt" or not package.constraint:
        return package.text
    pin = _find_pin(package, pins)
    if pin is None or not (exact or _is_pinned(package, pins)):
        return package.text
    return f"{package.name}={pin.version}"

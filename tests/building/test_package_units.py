"""Package sets as units: which script runs with which words, and what the key depends on."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

import pytest

from envgit.building.key import format_record
from envgit.building.package_sets.package_list import format_package_list
from envgit.building.package_sets.units import LIST_PATH, SCRIPT_VERSIONS, package_units, read_script
from envgit.building.record import parse_record
from envgit.building.unit import CacheMount, Origin, Run, SecretMount, Unit
from envgit.declaration.errors import DeclarationError
from envgit.declaration.lock_file import LockedPackage
from envgit.declaration.package_spec import split_spec
from envgit.declaration.values import Manager, Package, Place

SCRIPTS = {
    ("apt", 1): "f862f2ad732f75abee3457de0777732cdaab57a81bf6dfdc7f54afd11faf466b",
    ("pip", 1): "6c53357367f1d6b9aa19359d675ccd3e1e5f2a3cc75488a9119735db97c08718",
    ("npm", 1): "b5e6cf053748b2b68ca3af93d8a8bd073e4cdfd3a9f386fdb179381c26dbe27b",
}
"""SHA-256 of each script by version. A script that leaves other files than before needs a new version; a change that does
not (a message) only a new line here."""


def package(manager: Manager, text: str, line: int = 1) -> Package:
    name, constraint = split_spec(manager, text)
    return Package(manager, name, constraint, text, Place("envgit.toml", line, 1))


def units(*packages: Package, pins: list[LockedPackage] | None = None, exact: bool = False) -> list[Unit]:
    return package_units(packages, pins, 1_700_000_000, exact=exact)


def run_of(unit: Unit) -> Run:
    assert isinstance(unit.action, Run)
    return unit.action


def words(unit: Unit) -> tuple[str, ...]:
    """Return mode, what may move, and the specs."""
    return run_of(unit).argv[2:]


APT = LockedPackage("apt", "curl", "7.88.1-10+deb12u8", "amd64", "sha256:" + "0" * 64)
PIP = LockedPackage("pip", "flask", "3.1.3", "", "sha256:" + "1" * 64)


@pytest.mark.parametrize("manager", sorted(SCRIPT_VERSIONS))
def test_a_script_that_changed_has_another_version(manager: Manager) -> None:
    assert SCRIPTS[manager, SCRIPT_VERSIONS[manager]] == hashlib.sha256(read_script(manager)).hexdigest()


@pytest.mark.parametrize("manager", sorted(SCRIPT_VERSIONS))
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_every_shell_understands_the_scripts(manager: Manager, shell: str) -> None:
    program = shutil.which(shell)
    assert program, f"{shell} is missing: run tests/packages.sh"
    command = [program, *(["sh"] if shell == "busybox" else []), "-n"]
    subprocess.run(command, input=read_script(manager), check=True, timeout=20)


def test_one_unit_per_manager_in_their_order() -> None:
    found = units(package("pip", "flask==3.*", 4), package("apt", "zsh", 3), package("apt", "curl", 2))
    assert [unit.text for unit in found] == ["packages: apt curl zsh", "packages: pip flask==3.*"]
    assert [unit.origin for unit in found] == [Origin("envgit.toml", 3), Origin("envgit.toml", 4)]
    run = run_of(found[0])
    assert run.argv == ("/bin/sh", "/run/envgit/install", "newest", "curl,zsh", "curl", "zsh")
    assert (run.user, run.workdir, run.packages) == ("0:0", "/", LIST_PATH)
    assert dict(run.files) == {"/run/envgit/install": read_script("apt"), "/run/envgit/pins": b""}
    mounts = [mount for mount in run.mounts if isinstance(mount, SecretMount)]
    assert [mount.id for mount in mounts] == ["ca-certificates", "apt-auth.conf"] and not any(
        m.required for m in mounts
    )
    assert any(isinstance(mount, CacheMount) for mount in run.mounts)
    assert not any(isinstance(mount, CacheMount) for mount in run_of(found[1]).mounts)
    assert units() == []


def test_the_record_says_what_is_wanted_and_not_how_it_is_got() -> None:
    wanted = package("apt", "curl"), package("apt", "zsh")
    first = units(*wanted)[0]
    for others in (units(*reversed(wanted)), units(*wanted, wanted[0]), units(*wanted, pins=[APT], exact=True)):
        assert format_record(others[0].record) == format_record(first.record)
    assert format_record(units(wanted[0])[0].record) != format_record(first.record)
    assert len(format_record(first.record)) < 300
    recorded = parse_record(first.record)
    assert isinstance(recorded.action, Run) and recorded.action.packages == LIST_PATH
    assert dict(recorded.more) == {"manager": "apt", "packages": ["curl", "zsh"]}


def test_pins_go_to_their_manager() -> None:
    apt, pip = units(package("apt", "curl"), package("pip", "Flask>=3"), pins=[APT, PIP])
    assert words(apt) == ("prefer", "", "curl")
    assert words(pip) == ("prefer", "", "Flask>=3")
    assert dict(run_of(apt).files)["/run/envgit/pins"] == format_package_list([APT])
    assert dict(run_of(pip).files)["/run/envgit/pins"] == format_package_list([PIP])
    assert words(units(package("apt", "zsh"), package("apt", "curl"), pins=[APT])[0]) == (
        "prefer",
        "zsh",
        "curl",
        "zsh",
    )
    assert words(units(package("apt", "curl"), pins=[])[0]) == ("prefer", "curl", "curl")


@pytest.mark.parametrize(
    ("text", "exact", "expected"),
    [
        ("curl", False, ("prefer", "", "curl")),
        ("curl", True, ("locked", "", "curl")),
        # A pattern goes before a pin, so the pin's version is asked for where both can be had.
        ("curl=7.*", False, ("prefer", "", "curl=7.88.1-10+deb12u8")),
        ("curl=7.*", True, ("locked", "", "curl=7.88.1-10+deb12u8")),
        # The declaration has changed: it goes before the lock, unless the lock is all that counts.
        ("curl=8.*", False, ("prefer", "curl", "curl=8.*")),
        ("curl=8.*", True, ("locked", "curl", "curl=7.88.1-10+deb12u8")),
        ("curl:amd64=7.*", False, ("prefer", "", "curl:amd64=7.88.1-10+deb12u8")),
        ("curl:arm64=7.*", False, ("prefer", "curl:arm64", "curl:arm64=7.*")),
    ],
)
def test_versions_of_the_declaration_and_of_the_lock(text: str, exact: bool, expected: tuple[str, ...]) -> None:
    assert words(units(package("apt", text), pins=[APT], exact=exact)[0]) == expected


@pytest.mark.parametrize("manager", ["apk", "dnf"])
def test_managers_without_a_script_are_refused_with_their_line(manager: Manager) -> None:
    with pytest.raises(DeclarationError, match=rf"envgit\.toml:7:1: packages\.{manager} cannot") as caught:
        units(package(manager, "curl", 7))
    assert caught.value.hint is not None and "[[step]] run = " in caught.value.hint

"""What a package unit installed: a line per package, `manager TAB name TAB version TAB architecture TAB hash`.

A unit's script writes such a list (building/package_sets/units.py), each commit of a build keeps the list of everything up to it as
`packages.lock`, and envgit.lock holds the same as TOML. One value has one spelling: sorted, nothing twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from envgit.declaration.lock_file import LockedPackage
from envgit.declaration.values import MANAGERS
from envgit.errors import CorruptObject

PACKAGES_MAX = 100_000
_WORD = re.compile(r"[!-~]{1,512}\Z")
_HASH = re.compile(r"(?:[a-z0-9]{2,16}[:-][A-Za-z0-9+/=_-]{16,256})?\Z")


def parse_package_list(text: bytes) -> tuple[LockedPackage, ...]:
    """Return the packages of a list, sorted; the last of several lines about one package counts. Raises CorruptObject."""
    found: dict[tuple[str, str, str], LockedPackage] = {}
    lines = text.split(b"\n")
    if len(lines) > PACKAGES_MAX:
        raise CorruptObject(f"a list of packages has more than {PACKAGES_MAX:,} lines")
    for number, line in enumerate(lines, 1):
        if line.strip():
            package = _parse_line(line, number)
            found[_identity(package)] = package
    return tuple(sorted(found.values()))


def format_package_list(packages: Iterable[LockedPackage]) -> bytes:
    """Return the one spelling of a list; parse_package_list gives the same packages back, sorted."""
    lines = ["\t".join(package) + "\n" for package in sorted(packages)]
    return "".join(lines).encode("ascii")


def merge_package_lists(old: bytes, new: bytes) -> bytes:
    """Return the list of both; a package of `new` takes the place of the same one of `old`. Raises CorruptObject."""
    return format_package_list(parse_package_list(old.rstrip(b"\n") + b"\n" + new))


def _identity(package: LockedPackage) -> tuple[str, str, str]:
    """Return what there is one version of: of apk, rpm and dpkg a name per architecture; `all` counts as any other."""
    return package.manager, package.name, package.architecture


def _parse_line(line: bytes, number: int) -> LockedPackage:
    try:
        fields = line.decode("ascii").split("\t")
    except UnicodeDecodeError as error:
        raise CorruptObject(f"line {number} of a list of packages is not ASCII") from error
    if len(fields) != len(LockedPackage._fields) or fields[0] not in MANAGERS:
        raise CorruptObject(f"line {number} of a list of packages is none: {line[:80]!r}")
    words = fields[1:3] + [word for word in fields[3:4] if word]
    if not all(map(_WORD.match, words)) or not _HASH.match(fields[4]):
        raise CorruptObject(f"line {number} of a list of packages is damaged: {line[:80]!r}")
    return LockedPackage(*fields)

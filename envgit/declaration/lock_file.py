"""envgit.lock: what a build resulted in, exactly. Canonical TOML: one value has one spelling, and a package is a line."""

from __future__ import annotations

from typing import Any

from envgit.light_typing import NamedTuple

from .errors import DeclarationError
from .kinds import LINE, Key, ListOf, Number, Table, TableOf, Text
from .locating import NOWHERE
from .spot import Spot
from .terms import ENVIRONMENT_NAME
from .toml_text import format_key, format_text, read_located_toml, read_toml
from .values import MANAGERS, Place

VERSION = 1
MOST_BYTES = 64 << 20
HEADER = "# written by envgit build; do not edit\n"


class LockedPackage(NamedTuple):
    """`hash`: ALGORITHM:DIGEST or ALGORITHM-DIGEST, as the manager has it; "" when it tells none."""

    manager: str
    name: str
    version: str
    architecture: str = ""
    hash: str = ""


class LockedEnvironment(NamedTuple):
    """`source`: text of `from`. `base`, `root`: SHA-256 of the base's and the result's root tree, 64 hex digits.

    `digest`: what identifies the base where its source says so (an image's "sha256:..."), else "". `commit`, `tree`: object ids of
    the result and of its rootfs, as hex digits. `source_date_epoch`: seconds.
    """

    name: str
    source: str
    base: str
    source_date_epoch: int
    commit: str
    tree: str
    root: str
    digest: str = ""
    packages: tuple[LockedPackage, ...] = ()


class LockFile(NamedTuple):
    environments: tuple[LockedEnvironment, ...] = ()

    def find(self, name: str) -> LockedEnvironment | None:
        """Return the environment of this name."""
        return next((each for each in self.environments if each.name == name), None)

    def replace(self, environment: LockedEnvironment) -> LockFile:
        """Return the lock with this environment instead of that of its name."""
        others = (each for each in self.environments if each.name != environment.name)
        return LockFile((*others, environment)).sorted()

    def sorted(self) -> LockFile:
        """Return the lock in the order in which it is written: by name; packages by manager, name, version, architecture."""
        ordered = (each._replace(packages=tuple(sorted(set(each.packages)))) for each in self.environments)
        return LockFile(tuple(sorted(ordered)))


_HASH = Text(r"[a-z0-9]+[:-][A-Za-z0-9+/=_-]+", "a hash, as sha256:...")
_SHA256 = Text(r"sha256:[0-9a-f]{64}", "sha256: and 64 hex digits")
_OID = Text(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", "an object id")
_TEXT = Text(LINE)
_PACKAGE = Table(
    "locked_package",
    "A package, exactly.",
    {
        "manager": Key(_TEXT, f"{', '.join(MANAGERS)}."),
        "name": Key(_TEXT, "Its name."),
        "version": Key(_TEXT, "Its version."),
        "architecture": Key(_TEXT, "Its architecture, where the manager says it."),
        "hash": Key(_HASH, "Of what was installed, where the manager says it."),
    },
    required=("manager", "name", "version"),
)
_ENVIRONMENT = Table(
    "locked_environment",
    "The result of a build.",
    {
        "from": Key(_TEXT, "What it was built on."),
        "digest": Key(_HASH, "Of the image it was built on."),
        "base": Key(_SHA256, "Of the base's root tree."),
        "source_date_epoch": Key(Number(0, 2**53), "No time in it is later."),
        "commit": Key(_OID, "The resulting commit."),
        "tree": Key(_OID, "Of its root filesystem."),
        "root": Key(_SHA256, "Of its root tree."),
        "packages": Key(ListOf(_PACKAGE, unique=False), "What was installed by the declaration's packages."),
    },
    required=("from", "base", "source_date_epoch", "commit", "tree", "root"),
)
_ENVIRONMENTS = TableOf(ENVIRONMENT_NAME, _ENVIRONMENT)


def parse_lock(text: bytes, file: str) -> LockFile:
    """Parse a lock; the result is in the written order. Raises DeclarationError, also for a version that is not known."""
    fields = read_toml(text, file, MOST_BYTES)
    version = fields.pop("version", None)
    if version != VERSION or isinstance(version, bool):
        newer = isinstance(version, int) and version > VERSION
        message = (
            f"it is of version {version}, and this envgit knows version {VERSION}"
            if newer
            else "it is no lock of envgit"
        )
        hint = "use a newer envgit" if newer else "make it anew: envgit build"
        raise DeclarationError(Place(file), message, hint=hint)
    spot = Spot(file, NOWHERE)
    environments = fields.pop("env", {})
    if fields:
        raise DeclarationError(Place(file), f"unknown key '{next(iter(fields))}'", hint="make it anew: envgit build")
    try:
        checked = _ENVIRONMENTS.check(environments, spot.at("env"))
    except DeclarationError:
        _, positions = read_located_toml(text, file, MOST_BYTES)  # only now: of a long lock it takes a while
        try:
            _ENVIRONMENTS.check(environments, spot._replace(positions=positions).at("env"))
        except DeclarationError as error:
            error.hint = "make it anew: envgit build"
            raise
        raise
    return LockFile(tuple(_read_environment(name, each) for name, each in checked.items())).sorted()


def _read_environment(name: str, fields: dict[str, Any]) -> LockedEnvironment:
    return LockedEnvironment(
        name,
        fields["from"],
        fields["base"].removeprefix("sha256:"),
        int(fields["source_date_epoch"]),
        fields["commit"],
        fields["tree"],
        fields["root"].removeprefix("sha256:"),
        fields.get("digest", ""),
        tuple(LockedPackage(**each) for each in fields.get("packages", ())),
    )


def format_lock(lock: LockFile) -> bytes:
    """Return the one spelling of a lock; parse_lock gives `lock.sorted()` back."""
    lines = [HEADER, f"version = {VERSION}\n"]
    for each in lock.sorted().environments:
        lines.append(f"\n[env.{format_key(each.name)}]\n")
        lines.append(f"from = {format_text(each.source)}\n")
        if each.digest:
            lines.append(f"digest = {format_text(each.digest)}\n")
        lines.append(f'base = "sha256:{each.base}"\n')
        lines.append(f"source_date_epoch = {each.source_date_epoch}\n")
        lines.append(f'commit = "{each.commit}"\ntree = "{each.tree}"\nroot = "sha256:{each.root}"\n')
        if each.packages:
            lines.append("packages = [\n")
            lines += [f"  {{ {_format_package(package)} }},\n" for package in each.packages]
            lines.append("]\n")
    return "".join(lines).encode()


def _format_package(package: LockedPackage) -> str:
    fields = zip(LockedPackage._fields, package, strict=True)
    return ", ".join(f"{name} = {format_text(value)}" for name, value in fields if value)

"""The packages that dpkg says are installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from envgit.deb822 import parse_paragraph
from envgit.errors import SourceError


class Package(NamedTuple):
    """One installed package of the machine's own architecture."""

    name: str
    essential: bool
    depends: tuple[tuple[str, ...], ...]
    """Each dependency as the names of its alternatives, in order; versions are dpkg's business and hold already."""
    provides: tuple[str, ...]
    conffiles: Mapping[bytes, bytes]
    """Path (with leading slash) to the MD5 that the package ships, in hex; obsolete ones are not listed."""
    paragraph: bytes
    """As in the status file, without the empty line after it."""


def parse_status(data: bytes) -> dict[str, Package]:
    """Return the installed packages of a dpkg status file by name; foreign architectures are passed over.

    Raises SourceError when there is none.
    """
    paragraphs = [(paragraph, parse_paragraph(paragraph)) for paragraph in data.split(b"\n\n") if paragraph.strip()]
    installed = [(p, f) for p, f in paragraphs if f.get("status", b"").split()[-1:] == [b"installed"]]
    native = {f.get("architecture") for _, f in installed if f.get("package") == b"dpkg"} | {b"all"}
    packages = {}
    for paragraph, fields in installed:
        name = fields.get("package", b"").decode("ascii", "replace")
        if not name or (len(native) > 1 and fields.get("architecture") not in native):
            continue
        packages[name] = Package(
            name,
            fields.get("essential") == b"yes",
            _relations(fields.get("pre-depends", b"")) + _relations(fields.get("depends", b"")),
            tuple(names[0] for names in _relations(fields.get("provides", b""))),
            _conffiles(fields.get("conffiles", b"")),
            paragraph.strip(b"\n"),
        )
    if not packages:
        raise SourceError(
            "dpkg knows no installed package on this machine", hint="use another source: tar:FILE or dir:PATH"
        )
    return packages


def close_over(packages: Mapping[str, Package], wanted: set[str]) -> tuple[list[str], list[str]]:
    """Return the sorted names of `wanted` and everything they depend on, and the dependencies that nothing
    installed fulfils. Of alternatives the first installed one is taken; of several providers the first by name."""
    providers: dict[str, str] = {}
    for name in sorted(packages, reverse=True):
        for virtual in packages[name].provides:
            providers[virtual] = name
    chosen: set[str] = set()
    missing: set[str] = set()
    pending = sorted(wanted & packages.keys())
    while pending:
        name = pending.pop()
        if name in chosen:
            continue
        chosen.add(name)
        for alternatives in packages[name].depends:
            found = next((a for a in alternatives if a in packages), None) or next(
                (providers[a] for a in alternatives if a in providers), None
            )
            if found is None:
                missing.add(f"{name}: {' | '.join(alternatives)}")
            elif found not in chosen:
                pending.append(found)
    return sorted(chosen), sorted(missing)


def _relations(text: bytes) -> tuple[tuple[str, ...], ...]:
    relations = []
    for relation in text.decode("utf-8", "replace").replace("\n", " ").split(","):
        names = tuple(part.split()[0].partition(":")[0] for part in relation.split("|") if part.strip())
        if names:
            relations.append(tuple(name.partition("(")[0] for name in names))
    return tuple(relations)


def _conffiles(text: bytes) -> dict[bytes, bytes]:
    conffiles = {}
    for line in text.split(b"\n"):
        fields = line.split()
        if len(fields) == 2:
            conffiles[fields[0]] = fields[1]
    return conffiles

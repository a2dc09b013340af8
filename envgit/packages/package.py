"""The values of this room: a package, the record that tells of it, and the place where its manager keeps it."""

from __future__ import annotations

import re

from envgit.light_typing import NamedTuple

WORD_MAX_CHARACTERS = 256
SUMMARY_MAX_CHARACTERS = 200


class MalformedRecord(ValueError):
    """A record that no package manager writes. It is left out, and the message says so."""


class Package(NamedTuple):
    """One installed package.

    `name`, `version`, `architecture` and `source` are printable and without spaces (`check_word`); `summary` is one printable line.
    """

    manager: str
    name: str
    version: str
    architecture: str | None
    """None where the manager does not tell; "all" and "noarch" as it spells them."""
    place: bytes
    """The database or directory that says so: a path without leading slash."""
    source: str | None = None
    """The name of what it was built from, or the channel it came from, where that is another word than the name."""
    summary: str | None = None

    @property
    def folded_name(self) -> str:
        """The name as its manager compares it: Python's folds case and `-_.` (PEP 503)."""
        return re.sub(r"[-_.]+", "-", self.name).lower() if self.manager == "pip" else self.name


class Place(NamedTuple):
    """Where one manager keeps its records: `path` is a file or directory."""

    manager: str
    path: bytes


class Record(NamedTuple):
    """What tells of one package. Equal path and `identity` mean the same package; None is equal to nothing.

    `data` is the record where one file holds many; else it is read from `path`.
    """

    path: bytes
    identity: bytes | None
    data: bytes = b""


def check_word(data: bytes | str | None, what: str) -> str:
    """Return a name or version; raises MalformedRecord unless it is printable UTF-8 without spaces, of sensible length."""
    if not data:
        raise MalformedRecord(f"it has no {what}")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRecord(f"its {what} is not UTF-8") from None
    if len(text) > WORD_MAX_CHARACTERS:
        raise MalformedRecord(f"its {what} has {len(text):,} characters")
    if not text.isprintable() or " " in text:
        raise MalformedRecord(f"its {what} is {ascii(text[:60])}")
    return text


def check_optional_word(data: bytes | str | None, what: str) -> str | None:
    """Return a word, or None where there is none."""
    return check_word(data, what) if data else None


def clean_summary(data: bytes | str | None) -> str | None:
    """Return the first line of a description with everything unprintable replaced; None for an empty one."""
    if not data:
        return None
    if isinstance(data, bytes):
        data = data[: 4 * SUMMARY_MAX_CHARACTERS].decode("utf-8", "replace")
    lines = data[:SUMMARY_MAX_CHARACTERS].strip().splitlines()
    if not lines:
        return None
    line = lines[0].strip()
    return (
        line
        if line.isprintable()
        else "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in line)
    )

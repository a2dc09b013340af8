"""The values that `--from` names: this host, a directory, a tar archive, an image."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from envgit.errors import UsageError
from envgit.layers.sources.image_source import TRANSPORTS, ImageSource, parse_image_source
from envgit.model import DirectoryRef, Links

STANDARD_INPUT: Final = "-"

_FORMS = "host, dir:PATH, tar:FILE, tar:- (standard input), docker://NAME, oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE"


@dataclass(frozen=True, slots=True)
class HostSource:
    """A minimal root filesystem from the installed packages of this machine's distribution."""

    def __str__(self) -> str:
        return "host"


@dataclass(frozen=True, slots=True)
class DirectorySource:
    """A directory that holds a root filesystem."""

    path: str

    def __str__(self) -> str:
        return f"dir:{self.path}"


@dataclass(frozen=True, slots=True)
class TarSource:
    """A tar archive, plain or compressed; `path` is "-" for standard input."""

    path: str

    def __str__(self) -> str:
        return f"tar:{self.path}"


LocalSource: TypeAlias = HostSource | DirectorySource | TarSource
"""What `read_source` reads."""
Source: TypeAlias = LocalSource | ImageSource


class LeftOut(NamedTuple):
    """Something of the source that is not in the result, and why. `path` has no leading slash."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import stored. `bytes` counts the content of regular files, each hard-link set once."""

    root: DirectoryRef
    links: Links
    files: int
    directories: int
    bytes: int
    left_out: tuple[LeftOut, ...]
    """Sorted by path."""


def parse_source(text: str) -> Source:
    """Return the source that `text` names. Raises UsageError with the accepted forms, or with the form that was
    probably meant when `text` is just the path of something that exists."""
    kind, colon, rest = text.partition(":")
    if text == "host":
        return HostSource()
    if colon and kind in ("dir", "tar"):
        if not rest:
            raise UsageError(f"the source {text!r} names no path", hint=f"use {kind}:PATH")
        if "\0" in rest:
            raise UsageError("the source's path contains a NUL byte", hint=f"use one of: {_FORMS}")
        return DirectorySource(rest) if kind == "dir" else TarSource(rest)
    if colon and (kind in TRANSPORTS or rest.startswith("//") or kind in ("docker-daemon", "containers-storage")):
        return parse_image_source(text)
    if os.path.isdir(text) and os.path.exists(os.path.join(text, "oci-layout")):
        raise UsageError(f"the source {text!r} does not say its kind", hint=f"use oci:{text}")
    if os.path.isdir(text):
        raise UsageError(f"the source {text!r} does not say its kind", hint=f"use dir:{text}")
    if os.path.exists(text):
        raise UsageError(f"the source {text!r} does not say its kind", hint=f"use tar:{text}")
    raise UsageError(f"unknown source {text!r}", hint=f"use one of: {_FORMS}")

"""Paths of a file in another folder, as the main file would write them."""

from __future__ import annotations

import posixpath

from .errors import DeclarationError
from .values import Environment, FileEntry, Place, Step

_PATH_SOURCES = ("tar:", "dir:", "oci:", "oci-archive:", "docker-archive:")


def rebase(environment: Environment, folder: str) -> Environment:
    """Return an environment of a file in `folder` (relative to the main file's; "": the same) with all paths from there.

    Raises DeclarationError for a source or an input outside the main file's folder.
    """
    return environment._replace(
        source=_rebase_source(environment.source, folder),
        files=tuple(_rebase_file(each, folder) for each in environment.files),
        steps=tuple(_rebase_step(each, folder) for each in environment.steps),
    )


def refuse_leaving(path: str, written: str, place: Place) -> None:
    """Raise DeclarationError for a normal path that is not below the main file's folder."""
    if path == ".." or path.startswith(("../", "/")):
        raise DeclarationError(
            place,
            f"'{written}' is outside the folder of the declaration",
            hint="only what is in that folder can be used",
        )


def _rebase_source(source: str, folder: str) -> str:
    kind = next((kind for kind in _PATH_SOURCES if source.startswith(kind)), "")
    path = source.removeprefix(kind)
    if not kind or not folder or path.startswith("/") or path in ("", "-"):
        return source
    return kind + posixpath.normpath(posixpath.join(folder, path))


def _rebase_file(entry: FileEntry, folder: str) -> FileEntry:
    return entry._replace(sources=tuple(_join(folder, each, entry.place) for each in entry.sources))


def _rebase_step(step: Step, folder: str) -> Step:
    """Inputs may begin with "!": they take away what those before choose."""
    return step._replace(inputs=tuple(_join(folder, each, step.place) for each in step.inputs))


def _join(folder: str, pattern: str, place: Place) -> str:
    """Return a pattern from the main file's folder: `folder` stands for itself there, the pattern's own marks stay marks."""
    if pattern.startswith("!"):
        return "!" + _join(folder, pattern[1:], place)
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    if ".." in parts[up:]:
        raise DeclarationError(
            place, f"'..' is only possible at the beginning of '{pattern}'", hint="write the path without it"
        )
    below = folder.split("/") if folder else []
    if up > len(below):
        refuse_leaving("..", pattern, place)
    kept = [_escape(part) for part in below[: len(below) - up]]
    return "/".join(kept + parts[up:]) or "."


def _escape(name: str) -> str:
    """Return a pattern that matches just this name (https://pkg.go.dev/path/filepath#Match)."""
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in name)

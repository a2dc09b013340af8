"""Paths of an environment as instructions name them: relative ones are below the working directory."""

from __future__ import annotations

from posixpath import join, normpath


def absolute_path(working_dir: str, path: str) -> str:
    """Return the path from the root on, without `.`, `..` and doubled slashes, nor a slash at its end."""
    return "/" + normpath(join("/", working_dir, path)).lstrip("/")


def target_path(working_dir: str, path: str) -> str:
    """Return the target of a copy: as absolute_path(), with a slash at its end when only a directory can be meant."""
    is_directory = not path or path.endswith(("/", "/.", "/..")) or path in (".", "..")
    found = absolute_path(working_dir, path)
    return f"{found}/" if is_directory and found != "/" else found

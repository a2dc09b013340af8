"""Limit a comparison to paths, as git's pathspecs do: a prefix, or a glob in which `*` crosses slashes."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MAGIC = re.compile(rb"[*?\[]")


class PathFilter:
    """Paths and globs, without leading slash; none at all, or b"", lets everything through."""

    __slots__ = ("_everything", "_globs", "_prefixes")

    def __init__(self, specs: Sequence[bytes] = ()) -> None:
        specs = [spec.strip(b"/") for spec in specs]
        self._everything = not specs or b"" in specs
        self._prefixes = [spec for spec in specs if _MAGIC.search(spec) is None]
        self._globs: list[tuple[bytes, re.Pattern[str]]] = []
        for spec in specs:
            magic = _MAGIC.search(spec)
            if magic is not None:
                from fnmatch import translate

                literal = spec[: magic.start()]
                self._globs.append((literal, re.compile(translate(spec.decode("latin-1")))))

    def matches(self, path: bytes) -> bool:
        """Say whether a path is one of the specs, below one, or matches a glob (or lies below a match)."""
        if self._everything:
            return True
        for spec in self._prefixes:
            if path.startswith(spec) and (len(path) == len(spec) or path[len(spec)] == 0x2F):
                return True
        for literal, pattern in self._globs:
            if path.startswith(literal):
                above = path
                while above:
                    if pattern.match(above.decode("latin-1")):
                        return True
                    above = above.rpartition(b"/")[0]
        return False

    def may_contain(self, directory: bytes) -> bool:
        """Say whether something at or below `directory` can match."""
        if self._everything or not directory or self.matches(directory):
            return True
        below = directory + b"/"
        return any(spec.startswith(below) for spec in self._prefixes) or any(
            literal.startswith(below) or below.startswith(literal) for literal, _ in self._globs
        )

"""What a name in FROM, COPY --from and --mount=from stands for: a stage, a revision of the repository, or an image."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from envgit.building.unit import Base, FileSource, RevisionBase, ScratchBase, SourceBase, StageBase
from envgit.errors import UsageError
from envgit.platforms import Platform

_TRANSPORT: Final = re.compile(r"oci:|oci-archive:|docker-archive:|docker://")
_DECLARED: Final = re.compile(r"(?:tar|dir):|(?:host|debian:|ubuntu:)\Z")
"""Sources that envgit.toml takes. An image of such a name is spelled docker://."""


class Names:
    """Resolves names at one stage. `earlier`: stages before it by name; `later`: names of it and those that follow."""

    def __init__(
        self,
        number: int,
        earlier: Mapping[str, int],
        later: frozenset[str],
        count: int,
        is_revision: Callable[[str], bool],
        platform: Platform | None,
    ) -> None:
        self._number = number
        self._earlier = earlier
        self._later = later
        self._count = count
        self._is_revision = is_revision
        self._platform = str(platform) if platform is not None else ""

    def base(self, name: str, platform: str) -> Base:
        """Return what FROM names: a stage (by name only), nothing, a revision, an image. Raises UsageError."""
        if name.lower() in self._earlier:
            return StageBase(self._earlier[name.lower()])
        if name == "scratch":
            return ScratchBase()
        return self._outside(name, platform or self._platform)

    def files(self, name: str, option: str) -> FileSource:
        """Return what `option` (--from) names: a stage by name or number, a revision, an image. Raises UsageError."""
        if "$" in name:
            hint = "give the image a stage of its own: FROM sees the ARGs before the first FROM"
            raise UsageError(f"{option}={name}: no variables are expanded here", hint=hint)
        if name.isascii() and name.isdigit():
            return StageBase(self._numbered(int(name[:9]), option))
        if name.lower() in self._earlier:
            return StageBase(self._earlier[name.lower()])
        if name.lower() in self._later:
            raise UsageError(f"{option}={name}: the stage is not complete yet", hint=f"put {name!r} before this stage")
        if name == "scratch":
            raise UsageError(f"{option}=scratch: there are no files in it", hint="leave the option out for the context")
        return self._outside(name, self._platform)

    def _numbered(self, number: int, option: str) -> int:
        if number >= self._number:
            there = f"it is one of {self._count}" if number < self._count else f"there are {self._count}"
            what = "the stage is not complete yet" if number < self._count else "there is no such stage"
            raise UsageError(f"{option}={number}: {what} ({there}, counted from 0)")
        return number

    def _outside(self, name: str, platform: str) -> RevisionBase | SourceBase:
        if _TRANSPORT.match(name) is None and self._is_revision(name):
            return RevisionBase(name)
        if _DECLARED.match(name):
            is_release = name in ("debian:", "ubuntu:")
            hint = f"{name}TAG" if is_release else f"envgit import {name}, and name its branch or a tag here"
            raise UsageError(f"{name!r} is no image: such sources are for `from` in envgit.toml", hint=hint)
        from envgit.layers.sources.image_source import parse_image_source

        source = name if _TRANSPORT.match(name) else f"docker://{name}"
        return SourceBase(str(parse_image_source(source)), platform)

"""COPY and ADD of a Dockerfile as a Copy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from posixpath import basename
from typing import Final

from envgit.building.dockerfiles.paths import target_path
from envgit.building.dockerfiles.variables import Variables
from envgit.building.unit import Context, Copy, CopyItem, FileSource
from envgit.dockerfile import instructions as written
from envgit.errors import UsageError
from envgit.model import EnvironmentConfig

_GIT: Final = re.compile(r"git://|ssh://|git@|[\w.-]+@[\w.-]+:|https?://[^?#]*\.git(?:[#?/].*)?$")
_WEB: Final = re.compile(r"https?://")
_NUMBER: Final = re.compile(r"[0-9]+")
_OCTAL_MODE: Final = re.compile(r"0*[0-7]{1,4}")


def copy_action(
    instruction: written.Copy | written.Add, config: EnvironmentConfig, variables: Variables, source: FileSource
) -> Copy:
    """Return what COPY or ADD puts where. Raises UsageError, without a place, for what is not supported or makes no sense."""
    is_add = isinstance(instruction, written.Add)
    word = "ADD" if is_add else "COPY"
    paths = [variables.expand(path) for path in instruction.sources]
    target = target_path(config.working_dir, variables.expand(instruction.target))
    common = CopyItem(
        target,
        source=source,
        owner=variables.expand(instruction.chown),
        mode=_checked_mode(variables.expand(instruction.chmod)),
        exclude=instruction.exclude,
    )
    refuse_sources(word, paths)
    if isinstance(instruction, written.Add):
        items = list(_added(instruction, paths, common, variables.expand(instruction.checksum)))
    else:
        items = [common._replace(sources=tuple(paths), parents=instruction.parents)] if paths else []
    return Copy((*items, *_heredocs(instruction, common, variables, bool(paths))))


def refuse_sources(word: str, paths: Sequence[str]) -> None:
    """Raise UsageError for a source that this instruction cannot take; those with a variable in them are let pass."""
    for path in paths:
        if "$" in path:
            continue
        if _GIT.match(path):
            hint = "clone it in a RUN, or beside the Dockerfile"
            raise UsageError(f"{word} of a git repository ({path}) is not supported", hint=hint)
        if word == "COPY" and _WEB.match(path):
            raise UsageError(f"COPY takes no URL ({path})", hint="ADD does")
        if not path:
            raise UsageError(f"a source of {word} is empty once variables are expanded", hint="write . for everything")


def _added(add: written.Add, paths: list[str], common: CopyItem, checksum: str) -> Iterator[CopyItem]:
    """Yield the items of ADD: with --unpack=false what is local is only copied; URLs are never unpacked, but fetched."""
    if checksum and not (len(paths) == 1 and _WEB.match(paths[0]) and not add.heredocs):
        raise UsageError("--checksum is for a single URL", hint="write an ADD for it alone")
    if add.unpack and any(_WEB.match(path) for path in paths):
        raise UsageError("--unpack=true of a URL is not supported", hint="download and unpack it in a RUN")
    for unpack, group in groupby(paths, lambda path: add.unpack is not False or _WEB.match(path) is not None):
        yield common._replace(sources=tuple(group), unpack=unpack, checksum=checksum)


def _heredocs(
    instruction: written.Copy | written.Add, common: CopyItem, variables: Variables, has_paths: bool
) -> Iterator[CopyItem]:
    several = has_paths or len(instruction.heredocs) > 1
    for heredoc in instruction.heredocs:
        name = basename(heredoc.name)
        if not name or name in (".", ".."):
            raise UsageError(f"<<{heredoc.name} is no name for a file")
        target = common.target
        if several and not target.endswith("/"):
            raise UsageError(f"the target of several files is a directory: {target}/", hint=f"write {target}/")
        text = variables.expand_content(heredoc.text) if heredoc.expand else heredoc.text
        content = text.encode("utf-8", "surrogateescape")
        yield common._replace(target=target, sources=(name,), source=Context(), content=content, exclude=())


def _checked_mode(mode: str) -> str:
    if _NUMBER.fullmatch(mode) and not _OCTAL_MODE.fullmatch(mode):
        raise UsageError(
            f"--chmod={mode}: a number is octal, from 0 to 7777", hint="--chmod=0644, or --chmod=u=rw,go=r"
        )
    return mode

"""What an environment has and its declaration does not say: items, and edits of the declaration that would say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeAlias

from envgit.declaration import edit


class AddPackage(NamedTuple):
    """Also changes the version of one that is listed."""

    manager: str
    spec: str


class RemovePackage(NamedTuple):
    manager: str
    name: str


class SetFile(NamedTuple):
    """`entry`: as in [files]. `saved`: the file or folder of the project that has to be made for it, "" when it is all said."""

    target: str
    entry: Mapping[str, object]
    saved: str = ""


class RemoveFile(NamedTuple):
    target: str


class SetConfig(NamedTuple):
    path: tuple[str, ...]
    value: object


class AddStep(NamedTuple):
    run: str


Edit: TypeAlias = AddPackage | RemovePackage | SetFile | RemoveFile | SetConfig | AddStep


class DriftItem(NamedTuple):
    """One difference. `mark`: + - ~ of packages and configuration, A M D T P of paths, as elsewhere. `edits`: () when none would
    help; then `note` says why."""

    kind: Literal["package", "file", "config"]
    mark: str
    what: str
    edits: tuple[Edit, ...] = ()
    note: str = ""


def apply_edits(text: bytes, file: str, environment: str, edits: Iterable[Edit]) -> bytes:
    """Return a declaration's text with the edits made; comments and layout stay. Raises DeclarationError."""
    for each in edits:
        text = _apply(text, file, environment, each)
    return text


def _apply(text: bytes, file: str, environment: str, each: Edit) -> bytes:
    if isinstance(each, AddPackage):
        return edit.add_packages(text, file, environment, each.manager, [each.spec])
    if isinstance(each, RemovePackage):
        return edit.remove_packages(text, file, environment, each.manager, [each.name])
    if isinstance(each, SetFile):
        return edit.set_file(text, file, environment, each.target, each.entry)
    if isinstance(each, RemoveFile):
        return edit.remove_file(text, file, environment, each.target)
    if isinstance(each, SetConfig):
        return edit.set_config(text, file, environment, each.path, each.value)
    return edit.append_step(text, file, environment, {"run": each.run})

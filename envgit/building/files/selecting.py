"""Find the files that a COPY, ADD or mount names in a tree: plain paths, patterns, and paths that keep their parents."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import NamedTuple

from envgit.building.files.file_tree import FileTree, Node, describe_contents, lookup, missing, show
from envgit.dockerfile.glob import is_pattern, match
from envgit.dockerfile.ignore import DockerIgnore
from envgit.errors import UnknownPath, UsageError


class Selected(NamedTuple):
    """A file or directory to copy. `name`: what it is called in a target directory, also when a link led to `node`."""

    tree: FileTree
    node: Node
    name: bytes
    parents: tuple[Node, ...] = ()
    """Directories to make above it in the target (--parents), the outermost first."""
    keeps_directory: bool = False
    """A directory is made in the target itself, not only what is in it (--parents)."""


def select(
    tree: FileTree,
    pattern: str,
    note: Callable[[str], None],
    *,
    parents: bool = False,
    exclude: DockerIgnore | None = None,
) -> list[Selected]:
    """Return what a source names, in the order of names; links that it names are followed, ".." never leads out.

    A pattern may match nothing, which `note` is told; a path that is not there raises UnknownPath. `exclude` leaves files
    out by their names (with `parents` by their paths); what is in directories is for walk(). `parents`: `**` is any number of
    directories, and what stands before "/./" is not kept.
    """
    wild = is_pattern(pattern) or (parents and "**" in pattern)
    components, pivot = _components(pattern)
    if not wild:
        components = [_unescape(component) for component in components]
    found = [_Match((), ())]
    if parents and components[-1:] == ["**"]:
        del components[-1]  # a directory is copied with everything in it anyway
    for component in components:
        found = [below for place in found for below in _step(tree, place, component, wild, parents)]
    selected = []
    for place in found:
        path = b"/".join(place.names)
        node = lookup(tree, path)
        if node is None:
            raise missing(tree, path)
        name = place.names[-1] if place.names else b""
        kept = place.names[pivot:]
        if (
            exclude is not None
            and not node.is_directory
            and exclude.ignores(_text(b"/".join(kept) if parents else name))
        ):
            continue
        above = place.parents[pivot:] if parents else ()
        selected.append(Selected(tree, node, name, above, parents and node.is_directory and bool(kept)))
    if not selected and wild:
        note(f"{pattern} matches nothing in {tree.title}")
    return selected


class _Match(NamedTuple):
    names: tuple[bytes, ...]
    parents: tuple[Node, ...]
    """The directory of each name but the last; as long as `names` while more are to come."""


def _components(pattern: str) -> tuple[list[str], int]:
    """Return the components of a source below the tree's root, and how many of them stand before a "/./"."""
    before, pivot, after = pattern.lstrip("/").partition("/./")
    head = _clean(before) if pivot else []
    tail = _clean(after if pivot else before)
    return head + tail, len(head)


def _clean(path: str) -> list[str]:
    if "\0" in path:
        raise UsageError("a name of a file has no NUL in it")
    return [name for name in posixpath.normpath("/" + path).split("/") if name]


def _step(tree: FileTree, place: _Match, component: str, wild: bool, parents: bool) -> list[_Match]:
    """Return where one more component of the pattern leads from `place`."""
    here = lookup(tree, b"/".join(place.names))
    if here is None or not here.is_directory:
        if wild:
            return []
        raise missing(tree, b"/".join((*place.names, _bytes(component))))
    above = (
        place.parents
        if not place.names
        else (*place.parents, here._replace(entry=here.entry._replace(name=place.names[-1])))
    )
    if not wild:
        return [_Match((*place.names, _bytes(component)), above)]
    if parents and component == "**":
        return _every_directory(tree, place, here, above)
    if not is_pattern(component):
        name = _bytes(_unescape(component))
        return [_Match((*place.names, name), above)] if tree.find(here, name) is not None else []
    names = [node.entry.name for node in tree.list_directory(here)]
    return [_Match((*place.names, name), above) for name in names if match(component, _text(name))]


def _every_directory(tree: FileTree, place: _Match, here: Node, above: tuple[Node, ...]) -> list[_Match]:
    found = [place]
    todo = [(place.names, above, here)]
    while todo:
        names, nodes, directory = todo.pop()
        below = [node for node in tree.list_directory(directory) if node.is_directory]
        for node in below:
            match_ = _Match((*names, node.entry.name), nodes)
            found.append(match_)
            todo.append((match_.names, (*nodes, node), node))
    return sorted(found, key=lambda each: each.names)


def find_source(tree: FileTree, path: str) -> Node:
    """Return what a plain path names, links followed. Raises UnknownPath with the nearest name."""
    components = [_bytes(name) for name in _clean(path)]
    node = lookup(tree, b"/".join(components))
    if node is None:
        raise missing(tree, b"/".join(components))
    return node


def parse_exclude(patterns: Sequence[str]) -> DockerIgnore | None:
    """Return the matcher of --exclude; None without patterns."""
    if not patterns:
        return None
    return _rules(patterns, "--exclude")


def choose(patterns: Sequence[str]) -> DockerIgnore:
    """Return the rules that leave out everything but what `patterns` choose: those of .dockerignore turned round."""
    turned = [
        (pattern[1:] if is_taken else "!" + pattern) if _clean(pattern[is_taken:]) else ("**" if is_taken else "!**")
        for pattern in patterns
        for is_taken in [pattern.startswith("!")]
    ]
    return _rules(["**", *turned], "inputs")


def _rules(patterns: Sequence[str], where: str) -> DockerIgnore:
    """Parse patterns that are no lines of a file: none is a comment."""
    if any("\n" in pattern for pattern in patterns):
        raise UsageError(f"{where}: a pattern has no line breaks")
    lines = ["\\" + pattern if pattern.startswith("#") else pattern for pattern in patterns]
    return DockerIgnore.parse("\n".join(lines).encode("utf-8", "surrogateescape"), where)


def check_chosen(tree: FileTree, patterns: Sequence[str], paths: Sequence[bytes]) -> None:
    """Raise UnknownPath for the first of `patterns` that chooses none of `paths`, with the nearest name."""
    for pattern in patterns:
        if pattern.startswith("!") or not _clean(pattern.replace("**", "")):
            continue  # everything may be nothing
        rule = choose([pattern])
        if any(not rule.ignores(_text(path)) for path in paths):
            continue
        plain = takewhile(lambda name: not is_pattern(name), _clean(pattern))
        known = b"/".join(_bytes(name) for name in plain)
        found = lookup(tree, known)
        if found is None and not is_pattern(pattern):
            raise missing(tree, known)
        hint = missing(tree, known).hint if found is None else describe_contents(tree, found, known)
        raise UnknownPath(f"{show(_bytes(pattern))} matches nothing in {tree.title}", hint=hint)


def _unescape(component: str) -> str:
    """Return a component without pattern characters as the name that it means: a backslash takes the next character as it is."""
    return component if "\\" not in component else "".join(_unescaped(component))


def _unescaped(component: str) -> list[str]:
    characters, result = iter(component), []
    for character in characters:
        result.append(next(characters, character) if character == "\\" else character)
    return result


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")

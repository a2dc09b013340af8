"""List what a revision holds."""

from __future__ import annotations

from collections.abc import Iterator

from envgit.model import DirectoryRef, Entry, TreeReader
from envgit.repo import Repository
from envgit.snapshot import read_snapshot
from envgit.tree_path import find_child


def list_path(
    repo: Repository, revision: str, path: bytes, *, recursive: bool = False
) -> Iterator[tuple[bytes, Entry]]:
    """Yield (path, Entry) below a directory, or of the one file that `path` names; raises UnknownPath.

    Directories come with their full attributes.
    """
    root = read_snapshot(repo.objects, repo.resolve_bytes(revision)).root
    child = find_child(repo.reader, root, path)
    clean = b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))
    if not isinstance(child.content, DirectoryRef):
        yield clean, child.entry
        return
    yield from _iter_directory(repo.reader, child.content, clean + b"/" if clean else b"", recursive)


def _iter_directory(
    reader: TreeReader, ref: DirectoryRef, prefix: bytes, recursive: bool
) -> Iterator[tuple[bytes, Entry]]:
    # A stack of its own: directories nest deeper than Python's.
    open_directories = [(prefix, iter(reader.read_directory(ref).children.items()))]
    while open_directories:
        prefix, children = open_directories[-1]
        found = next(children, None)
        if found is None:
            open_directories.pop()
            continue
        name, child = found
        if not isinstance(child.content, DirectoryRef):
            yield prefix + name, child.entry
            continue
        below = reader.read_directory(child.content)
        yield prefix + name, below.own._replace(name=name)
        if recursive:
            open_directories.append((prefix + name + b"/", iter(below.children.items())))

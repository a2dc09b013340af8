"""Finding a path inside a stored environment, without a filesystem."""

from __future__ import annotations

from envgit.errors import UnknownPath
from envgit.model import Child, DirectoryRef, Entry, TreeReader

_MAX_SYMLINKS = 40


def find_child(reader: TreeReader, root: DirectoryRef, path: bytes, *, follow: bool = False) -> Child:
    """Return the Child at `path` (with or without leading slash; b"" is the root directory).

    A directory's Child carries its full `own` attributes under its real name. Symbolic links in the middle of the path and,
    with `follow`, at its end are resolved inside the environment, as chroot would. Raises UnknownPath.
    """
    stack: list[Child] = [_directory_child(reader, b"", root)]
    todo = split_path(path)
    links = 0
    while todo:
        name = todo.pop(0)
        if name == b"..":
            if len(stack) > 1:
                stack.pop()
            continue
        parent = stack[-1]
        if not isinstance(parent.content, DirectoryRef):
            raise UnknownPath(f"{_shown(path)}: {_shown(parent.entry.name)} is not a directory")
        child = reader.read_directory(parent.content).children.get(name)
        if child is None:
            raise UnknownPath(f"{_shown(path)}: there is no {_shown(name)}", hint="envgit ls lists what is there")
        if child.entry.type == "l" and (todo or follow):
            links += 1
            if links > _MAX_SYMLINKS:
                raise UnknownPath(f"{_shown(path)}: too many symbolic links")
            if child.entry.target.startswith(b"/"):
                del stack[1:]
            todo = split_path(child.entry.target) + todo
        elif isinstance(child.content, DirectoryRef):
            stack.append(_directory_child(reader, name, child.content))
        else:
            stack.append(child)
    return stack[-1]


def split_path(path: bytes) -> list[bytes]:
    """Return the components of a path."""
    return [name for name in path.split(b"/") if name not in (b"", b".")]


def _directory_child(reader: TreeReader, name: bytes, ref: DirectoryRef) -> Child:
    own: Entry = reader.read_directory(ref).own
    return Child(own._replace(name=name, sha256=ref.sha256), ref)


def _shown(path: bytes) -> str:
    return "/" + path.decode(errors="backslashreplace").lstrip("/")

"""Trees of files that a build reads from, all seen alike: the context, a stage or revision, an unpacked archive."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Protocol

from envgit.dockerfile.ignore import DockerIgnore
from envgit.errors import UnknownPath
from envgit.layers.tree_limits import MAX_DEPTH
from envgit.model import Child, DirectoryRef, Entry, TreeReader, TreeWriter
from envgit.suggestion import nearest
from envgit.tree_path import split_path

_MAX_SYMLINKS = 40
_NAMES_SHOWN = 8


class Node(NamedTuple):
    """A file of a tree. `path` from the tree's root, without leading slash; `entry` has all attributes, of directories too."""

    path: bytes
    entry: Entry
    handle: object = None
    """What the tree needs to find its content."""
    inode: object = None
    """Equal for all names of a file that has more than one; None: this is the only one."""
    implied: bool = False
    """A directory that counts only for what is in it."""

    @property
    def is_directory(self) -> bool:
        return self.entry.type == "d"


class FileTree(Protocol):
    """What a build may read. Methods raise StorageError or CorruptObject for what cannot be read."""

    @property
    def title(self) -> str:
        """What messages call it: "the context"."""

    def root(self) -> Node: ...

    def find(self, directory: Node, name: bytes) -> Node | None: ...

    def list_directory(self, directory: Node) -> list[Node]:
        """Return what is in a directory, sorted by name."""

    def list_names(self, directory: Node) -> list[bytes]:
        """Return the names in a directory, sorted, for a message: nothing is warned of."""

    def digest(self, node: Node) -> bytes:
        """Return the SHA-256 of a regular file's content."""

    def store(self, node: Node, writer: TreeWriter) -> Child:
        """Store a regular file; the Child's entry is the node's, completed."""

    def explain(self, path: bytes) -> str | None:
        """Return why a path that is not in the tree is not (a hint); None: no special reason."""


class StoredTree:
    """A stored tree. Owners and extended attributes are kept, and content is not copied."""

    def __init__(self, root: DirectoryRef, reader: TreeReader, title: str) -> None:
        self.title = title
        self._root = root
        self._reader = reader
        self._links: dict[bytes, int] | None = None

    def root(self) -> Node:
        return self._node(b"", Child(Entry(b".", "d"), self._root))

    def find(self, directory: Node, name: bytes) -> Node | None:
        child = self._reader.read_directory(self.ref(directory)).children.get(name)
        return None if child is None else self._node(_join(directory.path, name), child)

    def list_directory(self, directory: Node) -> list[Node]:
        children = self._reader.read_directory(self.ref(directory)).children
        return [self._node(_join(directory.path, name), child) for name, child in children.items()]

    def list_names(self, directory: Node) -> list[bytes]:
        return sorted(self._reader.read_directory(self.ref(directory)).children)

    def digest(self, node: Node) -> bytes:
        assert node.entry.sha256 is not None
        return node.entry.sha256

    def store(self, node: Node, writer: TreeWriter) -> Child:
        return Child(node.entry, node.handle)

    def explain(self, path: bytes) -> str | None:
        return None

    def ref(self, directory: Node) -> DirectoryRef:
        assert isinstance(directory.handle, DirectoryRef)
        return directory.handle

    def links_below(self, path: bytes) -> dict[bytes, int]:
        """Return the names below a directory that belong to hard-link sets: path from the root, number of the set."""
        prefix = path + b"/" if path else b""
        return {name: number for name, number in self._link_numbers().items() if name.startswith(prefix)}

    def _link_numbers(self) -> dict[bytes, int]:
        if self._links is None:
            sets = self._reader.read_links(self._root)
            self._links = {path: number for number, paths in enumerate(sets) for path in paths}
        return self._links

    def _node(self, path: bytes, child: Child) -> Node:
        if isinstance(child.content, DirectoryRef):
            own = self._reader.read_directory(child.content).own
            return Node(path, own._replace(name=child.entry.name), child.content)
        return Node(path, child.entry, child.content, self._link_numbers().get(path))


def lookup(tree: FileTree, path: bytes) -> Node | None:
    """Return what is at `path`, every symbolic link followed as if the tree were the whole filesystem; None: nothing is there.

    Raises UnknownPath for links that lead in a circle.
    """
    stack = [tree.root()]
    todo = split_path(path)
    todo.reverse()
    links = 0
    while todo:
        name = todo.pop()
        if name == b"..":
            if len(stack) > 1:
                stack.pop()
            continue
        if not stack[-1].is_directory:
            return None
        node = tree.find(stack[-1], name)
        if node is None:
            return None
        if node.entry.type == "l":
            links += 1
            if links > _MAX_SYMLINKS:
                raise UnknownPath(f"{show(path)} in {tree.title}: too many symbolic links")
            if node.entry.target.startswith(b"/"):
                del stack[1:]
            todo.extend(reversed(split_path(node.entry.target)))
        else:
            stack.append(node)
    return stack[-1]


def walk(
    tree: FileTree, top: Node, exclude: DockerIgnore | None = None, skip: Collection[bytes] = ()
) -> Iterator[tuple[bytes, Node]]:
    """Yield (path below `top`, node) of everything below a directory: a directory before what is in it, names sorted.

    A directory whose path is in `skip` by the time that the next is asked for is not entered. `exclude` leaves paths below
    `top` out. An implied directory, or an excluded one with exceptions, comes only when something in it does.
    """
    stack = [(b"", iter(tree.list_directory(top)))]
    held: list[tuple[int, bytes, Node]] = []
    while stack:
        prefix, pending = stack[-1]
        node = next(pending, None)
        if node is None:
            stack.pop()
            if held and held[-1][0] == len(stack):
                held.pop()
            continue
        path = prefix + node.entry.name
        if exclude is not None and exclude.ignores(text := _exact(path)):
            if not node.is_directory or not exclude.may_contain(text):
                continue
            node = node._replace(implied=True)
        if node.implied:
            held.append((len(stack), path, node))
        else:
            for _, held_path, held_node in held:
                yield held_path, held_node
            held.clear()
            yield path, node
        if node.is_directory and path not in skip:
            if len(stack) > MAX_DEPTH:
                raise UnknownPath(
                    f"{show(path[:64])}... in {tree.title} lies below more than {MAX_DEPTH:,} directories"
                )
            stack.append((path + b"/", iter(tree.list_directory(node))))


def missing(tree: FileTree, path: bytes) -> UnknownPath:
    """Return the error for a path that is not in the tree, with the nearest name that is, or what there is instead."""
    directory, known = tree.root(), b""
    for name in split_path(path):
        node = tree.find(directory, name) if directory.is_directory else None
        if node is None:
            break
        if node.entry.type == "l":
            target = lookup(tree, node.path)
            if target is None:
                why = f"{show(node.path)} is a link to {show(node.entry.target)}, which is not there"
                return UnknownPath(f"{show(path)} is not in {tree.title}", hint=why)
            node = target
        directory, known = node, _join(known, name)
    hint = tree.explain(b"/".join(split_path(path)))
    rest = split_path(path)[len(split_path(known)) :]
    if hint is None:
        hint = _find_near(tree, directory, known, rest) or describe_contents(tree, directory, known)
    return UnknownPath(f"{show(path)} is not in {tree.title}", hint=hint)


def _find_near(tree: FileTree, directory: Node, known: bytes, rest: Sequence[bytes]) -> str | None:
    """Return a hint at a name in `directory`, which is at `known`, that is much like the first of `rest`."""
    if not rest or not directory.is_directory:
        return None
    names = {_text(name): name for name in tree.list_names(directory)}
    near = nearest(_text(rest[0]), names)
    return "did you mean " + _text(b"/".join([*split_path(known), names[near], *rest[1:]])) if near else None


def describe_contents(tree: FileTree, node: Node, path: bytes) -> str:
    """Return a hint at what there is: the first names in the directory `node`, which is at `path`."""
    place = _text(path) or tree.title
    if not node.is_directory:
        return f"{place} is no directory"
    names = [_one_line(name) for name in tree.list_names(node)]
    more = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    return f"{place} has {', '.join(names[:_NAMES_SHOWN])}{more}" if names else f"{place} is empty"


def show(path: bytes) -> str:
    """Return a path for a message."""
    return _text(path) or "/"


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


def _exact(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _one_line(name: bytes) -> str:
    return "\\n".join(_text(name).split("\n"))

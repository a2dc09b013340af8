"""Build a tree from entries that arrive by full path in any order (an archive, a package list).

Content is stored before its entry is added; only metadata is held here.
"""

from __future__ import annotations

from typing import NamedTuple

from envgit.errors import HostileInput
from envgit.layers.metadata import NAME_MAX_BYTES, sort_links
from envgit.layers.tree_limits import MAX_DEPTH
from envgit.model import Child, DirectoryRef, Entry, Links, TreeWriter

IMPLICIT_PARENT = Entry(b".", "d", 0o755)
"""The attributes of a directory that is never added itself."""

_LINK_BYTES = 512 * 1024 * 1024
"""Whole paths are kept of hard links alone."""
_DIRECTORY = Entry(b"", "d")


class Assembled(NamedTuple):
    root: DirectoryRef
    links: Links
    files: int
    """Regular files."""
    entries: int
    """Everything but the root."""


class _File(NamedTuple):
    """A regular file, compact: what many files have in common is one shared Entry."""

    common: Entry
    mtime_ns: int
    size: int
    sha256: bytes | None
    content: object | None

    def entry(self, name: bytes) -> Entry:
        return self.common._replace(name=name, mtime_ns=self.mtime_ns, size=self.size, sha256=self.sha256)


class _Node:
    """A directory under construction."""

    __slots__ = ("children", "explicit", "own", "written")

    def __init__(self, own: Entry, explicit: bool) -> None:
        self.own = own
        self.explicit = explicit
        self.written: DirectoryRef | None = None
        """Where it is stored as it is now; used where a tree is written more than once."""
        self.children: dict[bytes, Entry | _Node | _File] = {}


class TreeAssembler:
    """Collects entries, then writes their directories bottom-up.

    Paths are bytes without leading slash; b"" is the root. Every `add` raises HostileInput, naming the path, when
    a component is not a file name, leads through a non-directory, or a limit is passed. About 400 bytes
    of memory per entry.
    """

    def __init__(self, writer: TreeWriter, *, max_entries: int = 5_000_000) -> None:
        self._writer = writer
        self._root = _Node(IMPLICIT_PARENT, explicit=False)
        self._last: tuple[bytes, _Node] = (b"", self._root)
        self._links: dict[bytes, set[bytes]] = {}
        self._common: dict[Entry, Entry] = {}
        self._link_bytes = 0
        self._entries = 0
        self._max_entries = max_entries

    def add(self, path: bytes, entry: Entry, content: object | None = None) -> None:
        """Put `entry` (its name is ignored, the path counts) at `path`, with the handle of its stored content.

        A directory that is there keeps its children and takes the new attributes; anything else that is there
        is replaced. A non-directory never replaces a directory that has children or was added itself.
        """
        if not path:
            if entry.type != "d":
                raise HostileInput("the root of an environment must be a directory")
            self._root.own = entry._replace(name=b".", sha256=None)
            self._root.explicit = True
            return
        if path.count(b"/") + (entry.type == "d") > MAX_DEPTH:
            raise HostileInput(f"{_show(path[:64])}... lies below more than {MAX_DEPTH:,} directories")
        parent, name = self._locate(path)
        there = parent.children.get(name)
        if there is None:
            self._count(path)
        elif self._links and not isinstance(there, _Node):
            self._unlink(path)
        if entry.type == "d":
            own = entry._replace(name=b".", sha256=None)
            if isinstance(there, _Node):
                there.own, there.explicit = own, True
            else:
                parent.children[name] = _Node(own, explicit=True)
            return
        if isinstance(there, _Node) and (there.children or there.explicit):
            raise HostileInput(f"{_show(path)} is a directory and would be replaced by something else")
        if entry.type == "f" and (entry.sha256 is None or content is None):
            raise HostileInput(f"{_show(path)} has no content")
        if entry.type == "f":
            common = entry._replace(name=b"", mtime_ns=0, size=0, sha256=None)
            common = self._common.setdefault(common, common)
            parent.children[name] = _File(common, entry.mtime_ns, entry.size, entry.sha256, content)
        else:
            parent.children[name] = entry._replace(name=name)

    def add_link(self, path: bytes, target: bytes) -> None:
        """Make `path` one more name of the non-directory at `target`, which must have been added before."""
        there = self._find(target)
        if there is None or isinstance(there, _Node):
            reason = "is missing" if there is None else "is a directory"
            raise HostileInput(f"{_show(path)} is a hard link to {_show(target)}, which {reason}")
        if path == target:
            return
        if isinstance(there, Entry):
            self.add(path, there)
        else:
            self.add(path, there.entry(b""), there.content)
        self._link_bytes += len(path)
        if self._link_bytes > _LINK_BYTES:
            raise HostileInput(
                f"the names of hard links have more than {_LINK_BYTES:,} bytes; one is {_show(path[:64])}"
            )
        names = self._links.setdefault(target, {target})
        names.add(path)
        self._links[path] = names

    def get(self, path: bytes) -> Entry | None:
        """Return the entry that is at `path` now (of a directory: its attributes under the name b"."), or None."""
        there = self._find(path)
        if isinstance(there, _Node):
            return there.own
        return there.entry(path.rpartition(b"/")[2]) if isinstance(there, _File) else there

    def finish(self) -> Assembled:
        """Write every directory and return the root. The assembler is empty afterwards."""
        sets = {id(names): names for names in self._links.values()}
        links = sort_links([tuple(names) for names in sets.values()])
        files = 0
        stack: list[tuple[bytes, _Node, list[bytes]]] = [(b"", self._root, _subdirectories(self._root))]
        while True:
            name, node, pending = stack[-1]
            if pending:
                below = node.children[pending[-1]]
                assert isinstance(below, _Node)
                stack.append((pending.pop(), below, _subdirectories(below)))
                continue
            children = _sorted_children(node)
            files += sum(child.entry.type == "f" for child in children)
            stack.pop()
            if not stack:
                break
            ref = self._writer.put_directory(node.own, children)
            node.children.clear()
            stack[-1][1].children[name] = _File(_DIRECTORY, 0, 0, ref.sha256, ref)
        root = self._writer.put_directory(node.own, children, links)
        self._root, self._last = node, (b"", node)
        node.children.clear()
        self._links.clear()
        return Assembled(root, links, files, self._entries)

    def _count(self, path: bytes) -> None:
        self._entries += 1
        if self._entries > self._max_entries:
            raise HostileInput(f"more than {self._max_entries} entries; {_show(path)} is one too many")

    def _locate(self, path: bytes) -> tuple[_Node, bytes]:
        """Return the node of the parent, made when missing, and the last name."""
        directory, _, name = path.rpartition(b"/")
        _check(name, path)
        if directory == self._last[0]:
            return self._last[1], name
        node = self._root
        for component in directory.split(b"/") if directory else ():
            below = node.children.get(component)
            if below is None:
                _check(component, path)
                self._count(path)
                below = node.children[component] = _Node(IMPLICIT_PARENT, explicit=False)
            elif not isinstance(below, _Node):
                raise HostileInput(f"{_show(path)} leads through {_show(component)}, which is not a directory")
            node = below
        self._last = (directory, node)
        return node, name

    def _find(self, path: bytes) -> Entry | _Node | _File | None:
        there: Entry | _Node | _File | None = self._root
        for component in path.split(b"/") if path else ():
            if not isinstance(there, _Node):
                return None
            there = there.children.get(component)
        return there

    def _unlink(self, path: bytes) -> None:
        names = self._links.pop(path, None)
        if names is not None:
            names.discard(path)


def _subdirectories(node: _Node) -> list[bytes]:
    return [name for name, below in node.children.items() if type(below) is _Node]


def _sorted_children(node: _Node) -> list[Child]:
    children = []
    for name in sorted(node.children):
        there = node.children[name]
        assert not isinstance(there, _Node)
        children.append(Child(there, None) if isinstance(there, Entry) else Child(there.entry(name), there.content))
    return children


def _check(name: bytes, path: bytes) -> None:
    if not 0 < len(name) <= NAME_MAX_BYTES or b"\0" in name or name in (b".", b".."):
        raise HostileInput(f"{_show(path)} has the component {_show(name)}, which is not a file name")


def _show(path: bytes) -> str:
    return ascii(path.decode("utf-8", "surrogateescape"))

"""Build a tree from the layers of an image, lowest first.

Each layer is collected as a tree of its own, then laid over what is below as overlayfs would show it: whiteouts and opaque
marks act on the layers below only, wherever they stand in their archive (OCI image specification, layer.md, "Whiteouts").
"""

from __future__ import annotations

from typing import NamedTuple

from envgit.errors import HostileInput
from envgit.layers.assemble import _DIRECTORY, IMPLICIT_PARENT, Assembled, TreeAssembler, _File, _Node
from envgit.layers.metadata import sort_links
from envgit.model import Child, DirectoryRef, Entry, Links, TreeReader, TreeWriter


class Totals(NamedTuple):
    """Of a whole tree. `directories` with the root; `bytes` of regular files, each hard-link set once."""

    files: int
    directories: int
    bytes: int


class LayeredAssembler(TreeAssembler):
    """A TreeAssembler with `next_layer`, `hide` and `hide_below`, and `write` for the tree between two layers.

    A directory that a layer does not name itself keeps the attributes it has below. A name leads through nothing but
    directories: where a layer has `lib/x` without `lib`, and below `lib` is a link, a new directory replaces the link, as in
    containers of docker and podman.
    """

    def __init__(self, writer: TreeWriter, *, max_entries: int = 5_000_000) -> None:
        super().__init__(writer, max_entries=max_entries)
        self._below = _Node(IMPLICIT_PARENT, explicit=False)
        self._below_links: dict[bytes, set[bytes]] = {}
        self._hidden: list[bytes] = []
        self._opaque: list[bytes] = []
        self._raised: set[bytes] = set()
        """Names of lower layers that were taken into this one because it links to them."""

    def hide(self, path: bytes) -> None:
        """Whiteout: what is at `path` in the layers below is gone. Nothing there is fine."""
        self._hidden.append(path)

    def hide_below(self, path: bytes) -> None:
        """Opaque: what is in the directory `path` in the layers below is gone."""
        self._opaque.append(path)

    def add(self, path: bytes, entry: Entry, content: object | None = None) -> None:
        super().add(path, entry, content)
        self._raised.discard(path)

    def add_link(self, path: bytes, target: bytes) -> None:
        """As TreeAssembler's; the target may also be in a layer below, with every name it has there."""
        if self._find(target) is None:
            self._raise(target)
        super().add_link(path, target)

    def get(self, path: bytes) -> Entry | None:
        return super().get(path) or self._get_below(path)

    def next_layer(self) -> None:
        """Lay what was added over the layers below, and begin an empty layer."""
        for path in self._hidden:
            self._remove_below(path)
            for raised in [name for name in self._raised if _is_within(name, path)]:
                self._remove_raised(raised)
        for path in self._opaque:
            self._clear_below(path)
            for raised in [name for name in self._raised if name != path and _is_within(name, path)]:
                self._remove_raised(raised)
        self._overlay()
        self._below_links.update(self._links)
        self._root = _Node(IMPLICIT_PARENT, explicit=False)
        self._last = (b"", self._root)
        self._links = {}
        self._hidden, self._opaque, self._raised = [], [], set()

    def load(self, root: DirectoryRef, reader: TreeReader) -> None:
        """Begin with a stored tree in place of layers. Its directories are written again only where a layer changes them."""
        self._below = _Node(IMPLICIT_PARENT, explicit=True)
        pending = [(root, self._below)]
        while pending:
            ref, node = pending.pop()
            directory = reader.read_directory(ref)
            node.own, node.written = directory.own, ref
            self._entries += len(directory.children)
            if self._entries > self._max_entries:
                raise HostileInput(f"the layers that are here already have more than {self._max_entries} entries")
            for name, (entry, content) in directory.children.items():
                if isinstance(content, DirectoryRef):
                    below = node.children[name] = _Node(IMPLICIT_PARENT, explicit=True)
                    pending.append((content, below))
                elif entry.type == "f":
                    common = entry._replace(name=b"", mtime_ns=0, size=0, sha256=None)
                    common = self._common.setdefault(common, common)
                    node.children[name] = _File(common, entry.mtime_ns, entry.size, entry.sha256, content)
                else:
                    node.children[name] = entry
        self._below_links = {name: names for names in map(set, reader.read_links(root)) for name in names}

    def write(self) -> DirectoryRef:
        """Write the directories that the layers finished with `next_layer` changed since the last time; return the root."""
        stack = [(self._below, _unwritten(self._below))]
        while True:
            node, pending = stack[-1]
            if pending:
                below = pending.pop()
                stack.append((below, _unwritten(below)))
                continue
            stack.pop()
            if node.written is None:
                links = () if stack else self._sorted_links()
                node.written = self._writer.put_directory(node.own, _children(node), links)
            if not stack:
                return node.written

    def totals(self) -> Totals:
        """Count what the finished layers hold."""
        files, directories, total = 0, 1, 0
        pending = [self._below]
        while pending:
            for there in pending.pop().children.values():
                if isinstance(there, _Node):
                    directories += 1
                    pending.append(there)
                elif isinstance(there, _File):
                    files += 1
                    total += there.size
        for names in {id(names): names for names in self._below_links.values()}.values():
            there_ = _walk(self._below, min(names)) if names else None
            if isinstance(there_, _File):
                total -= there_.size * (len(names) - 1)
        return Totals(files, directories, total)

    def finish(self) -> Assembled:
        """Write the tree of all layers that were finished with `next_layer`. The assembler keeps it."""
        return Assembled(self.write(), self._sorted_links(), self.totals().files, self._entries)

    def _sorted_links(self) -> Links:
        sets = {id(names): names for names in self._below_links.values()}
        return sort_links([tuple(names) for names in sets.values()])

    def _get_below(self, path: bytes) -> Entry | None:
        there = _walk(self._below, path)
        if isinstance(there, _Node):
            return there.own
        return there.entry(path.rpartition(b"/")[2]) if isinstance(there, _File) else there

    def _raise(self, target: bytes) -> None:
        names = self._below_links.get(target, {target})
        if self._get_below(target) is None or isinstance(_walk(self._below, target), _Node):
            return
        for name in sorted(names, key=lambda name: (name != target, name)):
            if self._find(name) is not None:
                continue
            there = _walk(self._below, name)
            if name != target:
                super().add_link(name, target)
            elif isinstance(there, _File):
                super().add(name, there.entry(b""), there.content)
            elif isinstance(there, Entry):
                super().add(name, there)
            self._raised.add(name)

    def _remove_raised(self, path: bytes) -> None:
        parent = _walk(self._root, path.rpartition(b"/")[0])
        if isinstance(parent, _Node):
            parent.children.pop(path.rpartition(b"/")[2], None)
        self._unlink(path)
        self._raised.discard(path)

    def _remove_below(self, path: bytes) -> None:
        directory, _, name = path.rpartition(b"/")
        parent = _walk(self._below, directory)
        if isinstance(parent, _Node) and (there := parent.children.pop(name, None)) is not None:
            self._forget_links(path, there)
            self._touch(directory)

    def _clear_below(self, path: bytes) -> None:
        there = _walk(self._below, path)
        if isinstance(there, _Node):
            self._forget_links(path, there)
            there.children = {}
            self._touch(path)

    def _touch(self, directory: bytes) -> None:
        """Note that a directory of the lower layers, which is there, has to be written again, and so all above it."""
        node: Entry | _Node | _File = self._below
        for component in directory.split(b"/") if directory else ():
            assert isinstance(node, _Node)
            node.written = None
            node = node.children[component]
        assert isinstance(node, _Node)
        node.written = None

    def _forget_links(self, path: bytes, there: Entry | _Node | _File) -> None:
        """Take `path`, and everything below it, out of the link sets of the lower layers."""
        if not self._below_links:
            return
        pending = [(path, there)]
        while pending:
            path, there = pending.pop()
            if isinstance(there, _Node):
                prefix = path + b"/" if path else b""
                pending.extend((prefix + name, child) for name, child in there.children.items())
            elif (names := self._below_links.pop(path, None)) is not None:
                names.discard(path)

    def _overlay(self) -> None:
        if self._root.explicit:
            self._below.own, self._below.explicit = self._root.own, True
        pending = [(b"", self._root, self._below)]
        while pending:
            path, upper, lower = pending.pop()
            lower.written = None
            prefix = path + b"/" if path else b""
            for name, new in upper.children.items():
                old = lower.children.get(name)
                if isinstance(new, _Node) and isinstance(old, _Node):
                    if new.explicit:
                        old.own, old.explicit = new.own, True
                    pending.append((prefix + name, new, old))
                    continue
                if old is not None:
                    self._forget_links(prefix + name, old)
                lower.children[name] = new


def _is_within(path: bytes, directory: bytes) -> bool:
    return not directory or path == directory or path.startswith(directory + b"/")


def _walk(node: _Node, path: bytes) -> Entry | _Node | _File | None:
    there: Entry | _Node | _File | None = node
    for component in path.split(b"/") if path else ():
        if not isinstance(there, _Node):
            return None
        there = there.children.get(component)
    return there


def _unwritten(node: _Node) -> list[_Node]:
    return [below for below in node.children.values() if isinstance(below, _Node) and below.written is None]


def _children(node: _Node) -> list[Child]:
    children = []
    for name in sorted(node.children):
        there = node.children[name]
        if isinstance(there, _Node):
            assert there.written is not None
            children.append(Child(_DIRECTORY._replace(name=name, sha256=there.written.sha256), there.written))
        elif isinstance(there, _File):
            children.append(Child(there.entry(name), there.content))
        else:
            children.append(Child(there, None))
    return children

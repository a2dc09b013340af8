"""Build a tree from the layers of an image, lowest first.

Each layer is collected as a tree of its own, then laid over what is below as overlayfs would show it: whiteouts and opaque
marks act on the layers below only, wherever they stand in their archive (OCI image specification, layer.md, "Whiteouts").
"""

from __future__ import annotations

from envgit.layers.assemble import IMPLICIT_PARENT, Assembled, TreeAssembler, _File, _Node
from envgit.model import Entry, TreeWriter


class LayeredAssembler(TreeAssembler):
    """A TreeAssembler with `next_layer`, `hide` and `hide_below`.

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

    def content_bytes(self) -> int:
        """Return the bytes of all regular files of the finished layers, each hard-link set once."""
        total = 0
        pending = [self._below]
        while pending:
            for there in pending.pop().children.values():
                if isinstance(there, _Node):
                    pending.append(there)
                elif isinstance(there, _File):
                    total += there.size
        for names in {id(names): names for names in self._below_links.values()}.values():
            there_ = _walk(self._below, min(names)) if names else None
            if isinstance(there_, _File):
                total -= there_.size * (len(names) - 1)
        return total

    def finish(self) -> Assembled:
        """Write the tree of all layers that were finished with `next_layer`."""
        self._root, self._links = self._below, self._below_links
        self._below = _Node(IMPLICIT_PARENT, explicit=False)
        return super().finish()

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

    def _clear_below(self, path: bytes) -> None:
        there = _walk(self._below, path)
        if isinstance(there, _Node):
            self._forget_links(path, there)
            there.children = {}

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

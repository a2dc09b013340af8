"""Put files of one tree into another that is being changed."""

from __future__ import annotations

from collections.abc import Iterable

from envgit.building.files.attributes import Stamp
from envgit.building.files.file_tree import FileTree, Node, StoredTree, walk
from envgit.building.files.fingerprint import Fingerprint
from envgit.building.files.target_tree import TargetDirectory, TargetTree
from envgit.dockerfile.ignore import DockerIgnore
from envgit.model import Child, TreeWriter


class Merging:
    """Copies from `source` into `target`; hard links among what one Merging copies stay hard links.

    `seen` is told what was read, in the order in which a Fingerprint of the same walk is told.
    """

    def __init__(
        self, source: FileTree, target: TargetTree, writer: TreeWriter, stamp: Stamp, seen: Fingerprint | None = None
    ) -> None:
        self._source = source
        self._target = target
        self._writer = writer
        self._stamp = stamp
        self._seen = seen
        self._inodes: dict[object, tuple[Child | None, bytes]] = {}

    def copy_directory(self, top: Node, into: TargetDirectory, exclude: DockerIgnore | None = None) -> None:
        """Copy everything in a directory. Directories that are there take the attributes of the source's, as docker does;
        `into` itself and directories that are only implied keep theirs."""
        grafted: set[bytes] = set()
        whole = self._can_graft(exclude)
        self._copy(walk(self._source, top, exclude, grafted), into, grafted if whole else None)

    def copy_file(self, node: Node, parent: TargetDirectory, name: bytes) -> None:
        """Copy something that is no directory, as `name`; what is seen has the path b""."""
        self._put(b"", node, parent, name)

    def _copy(self, nodes: Iterable[tuple[bytes, Node]], into: TargetDirectory, grafted: set[bytes] | None) -> None:
        directories = {b"": into}
        for path, node in nodes:
            above, _, name = path.rpartition(b"/")
            parent = directories[above]
            if not node.is_directory:
                self._put(path, node, parent, name)
                continue
            if self._seen is not None:
                self._seen.add(path, node, None)
            if grafted is not None and self._graft(node, parent, name):
                grafted.add(path)
                continue
            directories[path] = self._target.enter(parent, name, self._stamp.copied(node.entry), keep=node.implied)

    def _put(self, path: bytes, node: Node, parent: TargetDirectory, name: bytes) -> None:
        known = self._inodes.get(node.inode) if node.inode is not None else None
        if known is not None and known[0] is not None:
            child = known[0]
        elif node.entry.type == "f":
            child = self._source.store(node, self._writer)
        else:
            child = Child(node.entry, None)
        if self._seen is not None:
            self._seen.add(path, node, child.entry.sha256)
        place = self._target.put(parent, name, Child(self._stamp.copied(child.entry), child.content))
        if node.inode is not None and (known is None or not self._target.link(known[1], place)):
            self._inodes[node.inode] = (child, place)

    def _can_graft(self, exclude: DockerIgnore | None) -> bool:
        """Say whether stored directories can be taken over as they are."""
        stamp = self._stamp
        return (
            isinstance(self._source, StoredTree)
            and exclude is None
            and stamp.owner is None
            and stamp.mode is None
            and (stamp.epoch_ns is None or stamp.times == "keep")
        )

    def _graft(self, node: Node, parent: TargetDirectory, name: bytes) -> bool:
        source = self._source
        assert isinstance(source, StoredTree)
        if not self._target.graft(parent, name, source.ref(node)):
            return False
        top = parent.join(name)
        for path, number in source.links_below(node.path).items():
            child_path = top + path[len(node.path) :]
            first = self._inodes.setdefault(number, (None, child_path))[1]
            self._target.link_new(first, child_path)
        return True

"""Put the files of copies into a tree."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence

from envgit.building.files.attributes import Stamp, Times, parse_mode, resolve_owner
from envgit.building.files.context import ContextFolder
from envgit.building.files.file_tree import Node, StoredTree
from envgit.building.files.fingerprint import Fingerprint
from envgit.building.files.merging import Merging
from envgit.building.files.selecting import Selected, find_source, parse_exclude
from envgit.building.files.sources import (
    Sources,
    check_item,
    ends_as_directory,
    note_place,
    select_files,
    source_tree,
)
from envgit.building.files.target_tree import TargetDirectory, TargetTree
from envgit.building.files.unpacking import UnpackedTree, is_archive
from envgit.building.unit import Context, CopyItem, FileSource, StageBase, TreeMount
from envgit.errors import UsageError
from envgit.model import DirectoryRef, TreeReader, TreeWriter

_SECOND_NS = 1_000_000_000


def apply_items(
    sources: Sources,
    items: Sequence[CopyItem],
    parent_root: DirectoryRef,
    reader: TreeReader,
    writer: TreeWriter,
    epoch: int | None,
) -> DirectoryRef:
    """As `apply_copy` (copying.py)."""
    tree = TargetTree(parent_root, reader, writer)
    for item in items:
        check_item(item)
        stamp = Stamp(
            sources.now_ns,
            None if epoch is None else epoch * _SECOND_NS,
            resolve_owner(item.owner, parent_root, reader) if item.owner else None,
            parse_mode(item.mode) if item.mode else None,
            _times(item.source),
        )
        _Application(sources, item, stamp, tree, writer).run()
    return tree.finish()


class _Application:
    """One item on its way into the tree."""

    def __init__(self, sources: Sources, item: CopyItem, stamp: Stamp, tree: TargetTree, writer: TreeWriter) -> None:
        self._sources = sources
        self._item = item
        self._stamp = stamp
        self._tree = tree
        self._writer = writer
        self._seen = Fingerprint(stamp.mode)
        self._exclude = parse_exclude(item.exclude)
        self._target = _bytes(posixpath.normpath("/" + item.target))
        self._new = stamp.new_directory()

    def run(self) -> None:
        if self._item.directory:
            mode = 0o755 if self._stamp.mode is None else self._stamp.mode(0o755, True)
            directory, name = self._tree.locate(self._target, self._new)
            if name is not None:
                self._tree.make_directory(directory.join(name), self._stamp.new_directory(mode))
            return
        found = list(select_files(self._sources, self._item))
        self._check_target(found)
        for selected in found:
            self._copy(selected)
        if isinstance(
            self._item.source, Context
        ):  # stored trees cannot change, and are not looked through when grafted
            self._sources.context.check_unchanged(self._item, self._seen)

    def _check_target(self, found: Sequence[Selected]) -> None:
        """Several files need a directory."""
        if len(found) < 2 or ends_as_directory(self._item.target):
            return
        directory, name = self._tree.locate(self._target, self._new)
        if name is not None and any(not selected.node.is_directory for selected in found):
            raise UsageError(
                f"{len(found)} files cannot all become {self._item.target}",
                hint=f"for a directory: {self._item.target}/",
            )

    def _copy(self, selected: Selected) -> None:
        note_place(self._seen, selected)
        node, name, tree = selected.node, selected.name, selected.tree
        merging = Merging(tree, self._tree, self._writer, self._stamp, self._seen)
        if node.is_directory:
            into = self._into(selected)
            merging.copy_directory(node, into, self._exclude)
            return
        if self._item.unpack and isinstance(tree, ContextFolder) and self._unpack(tree, node):
            return
        if selected.parents or ends_as_directory(self._item.target):
            directory, last = self._into(selected), None
        else:
            directory, last = self._tree.locate(self._target, self._new)
        merging.copy_file(node, directory, name if last is None else last)

    def _into(self, selected: Selected) -> TargetDirectory:
        """Return the directory of the target that something goes into, made with what --parents asks for above it."""
        directory = self._tree.make_directory(self._target, self._new)
        for parent in selected.parents:
            own = self._stamp.copied(parent.entry)
            directory = self._tree.enter(directory, parent.entry.name, own, keep=True)
        if selected.keeps_directory:
            directory = self._tree.enter(directory, selected.name, self._stamp.copied(selected.node.entry), keep=False)
        return directory

    def _unpack(self, context: ContextFolder, node: Node) -> bool:
        """Unpack a local archive into the target, always a directory; False: it is none."""
        fd = context.open_file(node)
        try:
            if not is_archive(fd):
                return False
            archive = UnpackedTree.read(fd, os.fsdecode(node.path), self._new, self._writer, self._sources.monitor)
        finally:
            os.close(fd)
        self._seen.add(b"", node, context.digest(node))
        directory = self._tree.make_directory(self._target, self._new)
        stamp = self._stamp._replace(mode=None, times="clamp")
        Merging(archive, self._tree, self._writer, stamp).copy_directory(archive.root(), directory)
        return True


def store_mount(sources: Sources, mount: TreeMount, writer: TreeWriter, epoch: int | None) -> DirectoryRef:
    """As `make_mount_tree` (copying.py)."""
    tree = source_tree(sources, mount.source)
    node = find_source(tree, mount.path)
    if isinstance(tree, StoredTree) and node.is_directory:
        return tree.ref(node)
    epoch_ns = None if epoch is None else epoch * _SECOND_NS
    stamp = Stamp(sources.now_ns, epoch_ns, times=_times(mount.source))
    own = stamp.copied(node.entry) if node.is_directory else stamp.new_directory()
    target = TargetTree.create_empty(own._replace(name=b"."), writer)
    seen = Fingerprint()
    merging = Merging(tree, target, writer, stamp, seen)
    if node.is_directory:
        merging.copy_directory(node, target.top)
    else:
        merging.copy_file(node, target.top, node.entry.name)
    if isinstance(mount.source, Context):
        sources.context.check_unchanged(("mount", mount.source, mount.path), seen)
    return target.finish()


def _times(source: FileSource) -> Times:
    """Return what an epoch does to the times of a source: those of a context are anybody's, those of a stage were clamped."""
    return "exact" if isinstance(source, Context) else "keep" if isinstance(source, StageBase) else "clamp"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

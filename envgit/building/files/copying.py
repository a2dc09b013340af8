"""Copy and add files to an environment, in the semantics of COPY and ADD, as an edit of its tree: nothing is mounted.

What docker does is the measure; docs/copying.md says where its builders differ from each other, and what is done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from envgit.building.files.attributes import ModeChange, parse_mode
from envgit.building.files.file_tree import Node, StoredTree, walk
from envgit.building.files.fingerprint import Fingerprint
from envgit.building.files.selecting import find_source, parse_exclude
from envgit.building.files.sources import Sources, check_item, note_place, select_files, source_tree
from envgit.building.unit import CopyItem, TreeMount
from envgit.model import DirectoryRef, TreeReader, TreeWriter

__all__ = ["Sources", "apply_copy", "digest_copy", "digest_mount", "make_mount_tree", "mounted_file"]


def digest_copy(sources: Sources, items: Sequence[CopyItem]) -> bytes:
    """Return the digest (32 bytes) of everything that `apply_copy` of the same items would read: names, modes, contents, link
    targets and hard links, owners where they are kept; never times.

    Raises UnknownPath for a missing source, UsageError for items that make no sense, StorageError for what cannot be
    read, SourceError when a download fails, and what `tree_of` raises.
    """
    total = sha256()
    for item in items:
        check_item(item)
        mode = parse_mode(item.mode) if item.mode else None
        seen = Fingerprint(mode)
        for selected in select_files(sources, item):
            note_place(seen, selected)
            if isinstance(selected.tree, StoredTree):
                seen.begin(_digest_stored(sources, selected.tree, selected.node, mode, item))
            elif selected.node.is_directory:
                seen.add_all(selected.tree, walk(selected.tree, selected.node, parse_exclude(item.exclude)))
            else:
                seen.add_all(selected.tree, [(b"", selected.node)])
        sources.context.digested[item] = seen.digest()
        total.update(seen.digest())
    return total.digest()


def apply_copy(
    sources: Sources,
    items: Sequence[CopyItem],
    parent_root: DirectoryRef,
    reader: TreeReader,
    writer: TreeWriter,
    epoch: int | None,
) -> DirectoryRef:
    """Return the tree `parent_root` with the files of `items` in it, in their order.

    `reader` reads the parent. With `epoch` (seconds) no time is later; what comes from the context gets it exactly, as times
    there are not part of the digest. Raises as `digest_copy`, and Conflict when the files are not those that were
    digested with the same `sources` (somebody wrote to the context meanwhile).
    """
    # An unchanged build only digests, and should not pay for importing the rest.
    from envgit.building.files.applying import apply_items

    return apply_items(sources, items, parent_root, reader, writer, epoch)


def digest_mount(sources: Sources, mount: TreeMount) -> bytes:
    """Return the digest of what `make_mount_tree` would make."""
    tree = source_tree(sources, mount.source)
    node = find_source(tree, mount.path)
    seen = Fingerprint()
    if isinstance(tree, StoredTree):
        seen.begin(_digest_stored(sources, tree, node, None, None))
    elif node.is_directory:
        seen.add_all(tree, walk(tree, node))
    else:
        seen.add_all(tree, [(b"", node)])
    sources.context.digested["mount", mount.source, mount.path] = seen.digest()
    return seen.digest()


def make_mount_tree(sources: Sources, mount: TreeMount, writer: TreeWriter, epoch: int | None) -> DirectoryRef:
    """Return what a TreeMount shows as a tree: the directory, or one with nothing but the file in it (see `mounted_file`).

    Raises Conflict when the context changed since `digest_mount`.
    """
    from envgit.building.files.applying import store_mount

    return store_mount(sources, mount, writer, epoch)


def mounted_file(sources: Sources, mount: TreeMount) -> bytes:
    """Return the name of the one file in the tree of `make_mount_tree` when the mount is of a file; b"" for a directory."""
    node = find_source(source_tree(sources, mount.source), mount.path)
    return b"" if node.is_directory else node.entry.name


def _digest_stored(
    sources: Sources, tree: StoredTree, node: Node, mode: ModeChange | None, item: CopyItem | None
) -> bytes:
    """Return the digest of a stored file or directory; what was worked out once for a stored directory is kept."""
    seen = Fingerprint(mode, owners=item is None or not item.owner)
    if not node.is_directory:
        seen.add_all(tree, [(b"", node)])
        return seen.digest()
    how = () if item is None else (item.mode, item.owner != "", item.exclude)
    links = sorted(tree.links_below(node.path).items())
    key = sha256(tree.ref(node).sha256 + repr((how, len(node.path), links)).encode()).digest()
    cache = sources.context.cache
    known = cache.find_tree(key)
    if known is None:
        seen.add_all(tree, walk(tree, node, parse_exclude(item.exclude) if item is not None else None))
        known = seen.digest()
        cache.note_tree(key, known)
    return known

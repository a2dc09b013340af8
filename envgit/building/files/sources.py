"""Where the files of a copy come from, and which they are."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from typing import NamedTuple

from envgit.building.files.context import ContextFolder
from envgit.building.files.downloading import Downloads, is_url
from envgit.building.files.file_tree import FileTree, StoredTree
from envgit.building.files.fingerprint import Fingerprint
from envgit.building.files.selecting import Selected, parse_exclude, select
from envgit.building.files.single_file import SingleFile
from envgit.building.unit import Context, CopyItem, FileSource, RevisionBase, StageBase
from envgit.errors import UsageError
from envgit.model import DirectoryRef, Entry, TreeReader
from envgit.monitor import Monitor


class Sources(NamedTuple):
    """Where the files of a copy come from.

    `tree_of`: the root filesystem of a stage, revision or image (never called with Context). `reader` reads those trees.
    `now_ns`: the time that new directories and files without one of their own get when there is no epoch.
    """

    context: ContextFolder
    tree_of: Callable[[FileSource], DirectoryRef]
    reader: TreeReader
    downloads: Downloads
    now_ns: int
    monitor: Monitor


def check_item(item: CopyItem) -> None:
    """Refuse what makes no sense whatever the files are."""
    if "\0" in item.target:
        raise UsageError("a name of a file has no NUL in it")
    if item.directory:
        return
    if item.content is None and not item.sources:
        raise UsageError(f"nothing is named that could become {item.target}")
    if item.content is not None and not item.sources and ends_as_directory(item.target):
        raise UsageError(f"{item.target} is a directory, and the content has no name", hint=f"{item.target}NAME")
    if item.content is not None and item.sources and posixpath.basename(item.sources[0]) in ("", ".", ".."):
        raise UsageError(f"{item.sources[0]!r} is no name for a file")
    if len(item.sources) > 1 and not ends_as_directory(item.target):
        raise UsageError(
            f"several sources need a directory as target, which {item.target} does not say",
            hint=f"end it with a slash: {item.target}/",
        )
    if item.checksum and not (item.unpack and len(item.sources) == 1 and is_url(item.sources[0])):
        raise UsageError("a checksum is for one URL of ADD")


def select_files(sources: Sources, item: CopyItem) -> Iterator[Selected]:
    """Yield what the item's sources name."""
    if item.directory:
        return
    if item.content is not None:
        name = _bytes(posixpath.basename(item.sources[0] if item.sources else item.target))
        file = SingleFile.of_bytes(name, item.content, sources.now_ns)
        yield Selected(file, file.node, name)
        return
    exclude = parse_exclude(item.exclude)
    tree: FileTree | None = None
    for pattern in item.sources:
        if item.unpack and is_url(pattern):
            yield _download(sources, item, pattern)
            continue
        tree = tree or source_tree(sources, item.source)
        yield from select(tree, pattern, sources.context.note_once, parents=item.parents, exclude=exclude)


def source_tree(sources: Sources, source: FileSource) -> FileTree:
    if isinstance(source, Context):
        return sources.context
    if isinstance(source, StageBase):
        title = f"stage {source.number}"
    else:
        title = source.revision if isinstance(source, RevisionBase) else source.source
    return StoredTree(sources.tree_of(source), sources.reader, title)


def note_place(seen: Fingerprint, selected: Selected) -> None:
    """Note what a file is called, and the directories that --parents makes."""
    for parent in selected.parents:
        seen.add(parent.entry.name, parent, None)
    if selected.keeps_directory:
        seen.add(selected.name, selected.node, None)
    seen.begin(b"/" if selected.node.is_directory else selected.name)


def ends_as_directory(target: str) -> bool:
    return target.endswith(("/", "/.", "/.."))


def _download(sources: Sources, item: CopyItem, url: str) -> Selected:
    found = sources.downloads.fetch(url, item.checksum)
    name = found.name or _bytes(posixpath.basename(item.target))
    if not found.name and ends_as_directory(item.target):
        raise UsageError(f"{url} ends with no file name", hint=f"name the file: {item.target}NAME")
    mtime_ns = sources.now_ns if found.mtime_ns is None else found.mtime_ns
    entry = Entry(name, "f", 0o600, 0, 0, mtime_ns, found.size, found.sha256)
    file = SingleFile(entry, found.path, url)
    return Selected(file, file.node, name)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

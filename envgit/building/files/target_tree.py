"""A stored tree that is being changed: files and directories are put into it, then what changed is written bottom-up.

Nothing is looked up on a disk. Symbolic links on the way to a target are followed inside the tree, as chroot would.
"""

from __future__ import annotations

from collections.abc import Iterator

from envgit.building.files.file_tree import show
from envgit.errors import UnknownPath
from envgit.layers.metadata import sort_links
from envgit.layers.tree_limits import MAX_DEPTH
from envgit.model import Child, Directory, DirectoryRef, Entry, Links, TreeReader, TreeWriter
from envgit.tree_path import split_path

_MAX_SYMLINKS = 40


class TargetDirectory:
    """A directory of the tree that somebody looked into."""

    __slots__ = ("changed", "children", "depth", "own", "parent", "path", "ref")

    def __init__(
        self, path: bytes, parent: TargetDirectory | None, own: Entry, children: dict[bytes, Child | TargetDirectory]
    ) -> None:
        self.path = path
        self.parent = parent
        self.depth: int = parent.depth + 1 if parent is not None else 0
        self.own = own
        self.children = children
        self.ref: DirectoryRef | None = None
        """Where it is stored, while it is unchanged."""
        self.changed = False

    def touch(self) -> None:
        """Note that it has to be written again, and all directories above it."""
        directory: TargetDirectory | None = self
        while directory is not None and not directory.changed:
            directory.changed = True
            directory = directory.parent

    def join(self, name: bytes) -> bytes:
        """Return the path of a name in it."""
        return self.path + b"/" + name if self.path else name


class TargetTree:
    """`root` is read with `reader`; what is put into it must be readable with what reads the result."""

    def __init__(self, root: DirectoryRef, reader: TreeReader, writer: TreeWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._links: dict[bytes, set[bytes]] = {}
        for paths in reader.read_links(root):
            names = set(paths)
            self._links.update(dict.fromkeys(paths, names))
        self.top = self._load(b"", None, root)

    @classmethod
    def create_empty(cls, own: Entry, writer: TreeWriter) -> TargetTree:
        """Return a tree with nothing in its root directory."""
        tree = cls(DirectoryRef(None, b""), _Nothing(own), writer)
        tree.top.touch()
        return tree

    # directories

    def locate(self, path: bytes, new: Entry) -> tuple[TargetDirectory, bytes | None]:
        """Return where `path` is: (directory, None) for one that exists, else its directory and its name there.

        Directories on the way that do not exist are made with the attributes `new`; every link is followed, also a last one.
        Raises UnknownPath when something on the way is no directory.
        """
        directory = self.top
        todo = split_path(path)[::-1]
        links = 0
        while todo:
            name = todo.pop()
            if name == b"..":
                directory = directory.parent or directory
                continue
            there = self._get(directory, name)
            if isinstance(there, TargetDirectory):
                directory = there
            elif there is not None and there.entry.type == "l":
                links += 1
                if links > _MAX_SYMLINKS:
                    raise UnknownPath(f"{_show(path)}: too many symbolic links in the environment")
                if there.entry.target.startswith(b"/"):
                    directory = self.top
                todo.extend(split_path(there.entry.target)[::-1])
            elif not todo:
                return directory, name
            elif there is not None:
                raise UnknownPath(f"{_show(path)}: {_show(directory.join(name))} in the environment is not a directory")
            else:
                directory = self._make(directory, name, new)
        return directory, None

    def make_directory(self, path: bytes, new: Entry) -> TargetDirectory:
        """Return the directory at `path`, made with the attributes `new` where it does not exist; one that does keeps its own."""
        directory, name = self.locate(path, new)
        if name is None:
            return directory
        if name in directory.children:
            raise UnknownPath(
                f"{_show(path)} in the environment is not a directory",
                hint="name the file itself, or another directory",
            )
        return self._make(directory, name, new)

    def enter(self, parent: TargetDirectory, name: bytes, own: Entry, *, keep: bool) -> TargetDirectory:
        """Return the directory `name` of `parent` with the attributes `own`; with `keep` one that exists keeps its own.

        A link to a directory stays and is followed, and that directory keeps its attributes: /lib may be one to usr/lib.
        """
        there = self._get(parent, name)
        if there is None:
            return self._make(parent, name, own)
        if not isinstance(there, TargetDirectory):
            return self.make_directory(parent.join(name), own)
        if not keep:
            xattrs = tuple(sorted({**dict(there.own.xattrs), **dict(own.xattrs)}.items()))
            own = own._replace(name=b".", sha256=None, xattrs=xattrs)
            if own != there.own:
                there.own = own
                there.touch()
        return there

    def graft(self, parent: TargetDirectory, name: bytes, ref: DirectoryRef) -> bool:
        """Put a stored directory into `parent` as it is, if there is nothing of its name; say whether it was done."""
        if name in parent.children:
            return False
        parent.children[name] = Child(Entry(name, "d", sha256=ref.sha256), ref)
        parent.touch()
        return True

    def _make(self, parent: TargetDirectory, name: bytes, own: Entry) -> TargetDirectory:
        if parent.depth >= MAX_DEPTH:
            raise UnknownPath(f"{_show(parent.path[:64])}... would lie below more than {MAX_DEPTH:,} directories")
        made = TargetDirectory(parent.join(name), parent, own._replace(name=b".", sha256=None), {})
        parent.children[name] = made
        made.touch()
        return made

    def _get(self, directory: TargetDirectory, name: bytes) -> Child | TargetDirectory | None:
        there = directory.children.get(name)
        if isinstance(there, Child) and isinstance(there.content, DirectoryRef):
            there = directory.children[name] = self._load(directory.join(name), directory, there.content)
        return there

    def _load(self, path: bytes, parent: TargetDirectory | None, ref: DirectoryRef) -> TargetDirectory:
        stored = self._reader.read_directory(ref)
        loaded = TargetDirectory(path, parent, stored.own, dict(stored.children))
        loaded.ref = ref
        return loaded

    # files

    def put(self, parent: TargetDirectory, name: bytes, child: Child) -> bytes:
        """Put something that is no directory into `parent`, in place of what is there; return its path.

        Raises UnknownPath where a directory is.
        """
        path = parent.join(name)
        there = parent.children.get(name)
        if isinstance(there, TargetDirectory) or (there is not None and isinstance(there.content, DirectoryRef)):
            raise UnknownPath(
                f"{_show(path)} in the environment is a directory, and a file of that name would replace it",
                hint="remove it in an earlier step, or choose another target",
            )
        names = self._links.pop(path, None)
        if names is not None:
            names.discard(path)
        parent.children[name] = Child(child.entry._replace(name=name), child.content)
        parent.touch()
        return path

    def link(self, first: bytes, path: bytes) -> bool:
        """Note that two paths, which were put with the same entry, are names of one file; False: one was replaced since."""
        is_same = self._at(first) == self._at(path)
        if is_same:
            self.link_new(first, path)
        return is_same

    def link_new(self, first: bytes, path: bytes) -> None:
        """As `link`, for paths that cannot have been replaced yet."""
        names = self._links.setdefault(first, {first})
        names.add(path)
        self._links[path] = names

    def _at(self, path: bytes) -> tuple[Entry, object] | None:
        """Return what is at a path without links, apart from its name."""
        *above, name = path.split(b"/")
        directory: Child | TargetDirectory | None = self.top
        for component in above:
            directory = self._get(directory, component) if isinstance(directory, TargetDirectory) else None
        there = directory.children.get(name) if isinstance(directory, TargetDirectory) else None
        return (there.entry._replace(name=b""), there.content) if isinstance(there, Child) else None

    def finish(self) -> DirectoryRef:
        """Write what changed and return the root."""
        links = sort_links([tuple(names) for names in {id(names): names for names in self._links.values()}.values()])
        for directory in reversed(list(self._changed())):
            children = [_stored(directory.children[name], name) for name in sorted(directory.children)]
            is_root = directory.parent is None
            directory.ref = self._writer.put_directory(directory.own, children, links if is_root else ())
            directory.changed = False
        assert self.top.ref is not None
        return self.top.ref

    def _changed(self) -> Iterator[TargetDirectory]:
        """Yield the directories to write, each before those in it."""
        todo = [self.top] if self.top.changed else []
        while todo:
            directory = todo.pop()
            yield directory
            todo.extend(
                below for below in directory.children.values() if isinstance(below, TargetDirectory) and below.changed
            )


class _Nothing:
    """A TreeReader of an empty directory."""

    def __init__(self, own: Entry) -> None:
        self._directory = Directory(own, {})

    def read_directory(self, ref: DirectoryRef) -> Directory:
        return self._directory

    def read_links(self, root: DirectoryRef) -> Links:
        return ()

    def iter_content(self, child: Child) -> Iterator[bytes]:
        return iter(())


def _stored(there: Child | TargetDirectory, name: bytes) -> Child:
    if isinstance(there, Child):
        return there
    assert there.ref is not None
    return Child(Entry(name, "d", sha256=there.ref.sha256), there.ref)


def _show(path: bytes) -> str:
    return "/" + show(path).lstrip("/")

"""The folder of a recipe as builds see it: what .dockerignore leaves, links as themselves, nothing outside of it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress

from envgit.building.files.file_tree import Node, show, walk
from envgit.building.files.fingerprint import Fingerprint
from envgit.building.files.selecting import check_chosen, choose
from envgit.building.files.stat_cache import StatCache
from envgit.dockerfile.ignore import DockerIgnore
from envgit.errors import Conflict, StorageError, UnknownPath
from envgit.layers.descent import DIRECTORY_FLAGS, open_beneath
from envgit.layers.inode import FILE_FLAGS, file_type, has_hole
from envgit.layers.memory_tree import hash_open_file
from envgit.model import Child, DirectoryRef, Entry, TreeWriter
from envgit.monitor import Monitor

_ATTEMPTS = 3
_REPOSITORY = b".envgit"


class ContextFolder:
    """An open context, a FileTree. A context manager: leaving it saves what was learnt about files and closes the folder.

    Everything belongs to 0:0, and extended attributes are not seen: neither survives a clone of the project. A folder
    `.envgit` (a repository) is never part of it. Sockets, FIFOs and devices are left out with a warning.
    """

    title = "the context"

    def __init__(self, fd: int, ignore: DockerIgnore, cache: StatCache, monitor: Monitor) -> None:
        self._fd = fd
        self._ignore = ignore if ignore.rules else None
        self._touched = _any_rule(ignore)
        self._cache = cache
        self._monitor = monitor
        self._warned: set[bytes] = set()
        self._noted: set[str] = set()
        self.digested: dict[object, bytes] = {}
        """What was digested with this object: what is stored later has to be the same."""

    @classmethod
    def open_(cls, path: str, ignore: bytes, cache_path: str | None, monitor: Monitor) -> ContextFolder:
        """Open the folder `path`. `ignore`: the text of its .dockerignore. `cache_path`: where digests of files that did
        not change are kept between builds (`repo.path("build", "inputs")`; disposable), None: nowhere.

        Raises UnknownPath when there is no such folder.
        """
        rules = DockerIgnore.parse(ignore)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UnknownPath(f"the context {path} cannot be opened: {error.strerror}") from error
        return cls(fd, rules, StatCache(cache_path), monitor)

    def __enter__(self) -> ContextFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Save the digests and close the folder; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._cache.save()

    def note_once(self, message: str) -> None:
        """Tell the monitor something that both digesting and copying come across."""
        if message not in self._noted:
            self._noted.add(message)
            self._monitor.note(message)

    def check_unchanged(self, what: object, seen: Fingerprint) -> None:
        """Raise Conflict when `what` was digested before, and was not what was `seen` now."""
        if self.digested.get(what, seen.digest()) != seen.digest():
            raise Conflict(
                "files of the context were changed while they were copied",
                hint="stop what writes to them, then build again",
            )

    @property
    def cache(self) -> StatCache:
        return self._cache

    def root(self) -> Node:
        status = os.fstat(self._fd)
        return Node(b"", Entry(b"", "d", stat.S_IMODE(status.st_mode), mtime_ns=status.st_mtime_ns))

    def find(self, directory: Node, name: bytes) -> Node | None:
        path = directory.path + b"/" + name if directory.path else name
        fd = self._open_directory(directory.path)
        try:
            try:
                status = os.lstat(name, dir_fd=fd)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                raise _unreadable(path, error) from error
            return self._node(fd, path, name, status, self._warn)
        finally:
            os.close(fd)

    def list_directory(self, directory: Node) -> list[Node]:
        nodes = self._list(directory, self._warn)
        nodes.sort()
        return nodes

    def list_names(self, directory: Node) -> list[bytes]:
        return sorted(node.entry.name for node in self._list(directory, lambda path, status: None))

    def _list(self, directory: Node, leave_out: Callable[[bytes, os.stat_result], None]) -> list[Node]:
        prefix = directory.path + b"/" if directory.path else b""
        fd = self._open_directory(directory.path)
        nodes = []
        try:
            with os.scandir(fd) as listing:
                for found in listing:
                    name = os.fsencode(found.name)
                    try:
                        status = found.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # it vanished meanwhile
                    node = self._node(fd, prefix + name, name, status, leave_out)
                    if node is not None:
                        nodes.append(node)
        except OSError as error:
            raise _unreadable(directory.path, error) from error
        finally:
            os.close(fd)
        return nodes

    def digest(self, node: Node) -> bytes:
        status = node.handle
        assert isinstance(status, os.stat_result)
        known = self._cache.find(status)
        if known is not None:
            return known
        for _ in range(_ATTEMPTS):
            fd = self._open_file(node.path)
            try:
                before = os.fstat(fd)
                digest = hash_open_file(fd)
                if _same(before, os.fstat(fd)):
                    if _same(before, status):
                        self._cache.note(before, digest)
                    return digest
            except OSError as error:
                raise _unreadable(node.path, error) from error
            finally:
                os.close(fd)
        raise _busy(node.path)

    def store(self, node: Node, writer: TreeWriter) -> Child:
        for _ in range(_ATTEMPTS):
            fd = self._open_file(node.path)
            try:
                before = os.fstat(fd)
                stored = writer.put_open_file(fd, before.st_size, bool(node.entry.mode & 0o111))
                sparse = before.st_blocks * 512 < before.st_size and has_hole(fd, before.st_size)
                if _same(before, os.fstat(fd)):
                    entry = node.entry._replace(size=stored.size, sha256=stored.sha256, sparse=sparse)
                    return Child(entry, stored.content)
            except OSError as error:
                raise _unreadable(node.path, error) from error
            finally:
                os.close(fd)
        raise _busy(node.path)

    def explain(self, path: bytes) -> str | None:
        text = path.decode("utf-8", "surrogateescape")
        if self._ignore is not None and self._ignore.ignores(text):
            with suppress(OSError):
                os.close(open_beneath(self._fd, path, os.O_PATH))
                return "it is there, but .dockerignore leaves it out"
        return None

    def open_file(self, node: Node) -> int:
        """Open a regular file for reading; the descriptor is the caller's."""
        return self._open_file(node.path)

    def _node(
        self,
        dir_fd: int,
        path: bytes,
        name: bytes,
        status: os.stat_result,
        leave_out: Callable[[bytes, os.stat_result], None],
    ) -> Node | None:
        implied = False
        mode = status.st_mode
        is_directory = stat.S_ISDIR(mode)
        if self._ignore is not None:
            text = path.decode("utf-8", "surrogateescape")
            if self._touched(text) and self._ignore.ignores(text):
                if not is_directory or not self._ignore.may_contain(text):
                    return None
                implied = True
        if stat.S_ISREG(mode):
            entry = Entry(name, "f", mode & 0o7777, 0, 0, status.st_mtime_ns, status.st_size)
            return Node(path, entry, status, (status.st_dev, status.st_ino) if status.st_nlink > 1 else None)
        if is_directory:
            if name == _REPOSITORY:
                return None
            return Node(path, Entry(name, "d", mode & 0o7777, mtime_ns=status.st_mtime_ns), implied=implied)
        if stat.S_ISLNK(mode):
            try:
                target = os.readlink(name, dir_fd=dir_fd)
            except OSError as error:
                raise _unreadable(path, error) from error
            return Node(path, Entry(name, "l", mtime_ns=status.st_mtime_ns, target=target))
        leave_out(path, status)
        return None

    def _warn(self, path: bytes, status: os.stat_result) -> None:
        if path not in self._warned:
            self._warned.add(path)
            kind = {"p": "a FIFO", "c": "a device", "b": "a device"}.get(file_type(status) or "", "a socket")
            self._monitor.warn(f"{show(path)} in the context is left out: it is {kind}")

    def _open_directory(self, path: bytes) -> int:
        try:
            return open_beneath(self._fd, path, DIRECTORY_FLAGS)
        except OSError as error:
            raise _unreadable(path, error) from error

    def _open_file(self, path: bytes) -> int:
        try:
            return open_beneath(self._fd, path, FILE_FLAGS)
        except OSError as error:
            raise _unreadable(path, error) from error


def _any_rule(ignore: DockerIgnore) -> Callable[[str], object]:
    """Return a quick way to see that no rule matches a path, which is so for most: all rules as one expression."""
    if any(rule.regex.groups for rule in ignore.rules):
        return lambda path: True
    return re.compile("|".join(rule.regex.pattern for rule in ignore.rules), re.DOTALL).match


def digest_inputs(context: ContextFolder, patterns: Sequence[str]) -> bytes:
    """Return the digest (32 bytes) of the files of the context that `patterns` choose: names, modes, contents, link targets.

    Patterns are those of .dockerignore turned round: what matches, and everything below it, is chosen; a pattern that begins
    with "!" takes away again. Raises UnknownPath when a pattern chooses nothing, StorageError for what cannot be read.
    """
    seen = Fingerprint()
    nodes = list(walk(context, context.root(), choose(patterns)))
    check_chosen(context, patterns, [path for path, _ in nodes])
    seen.add_all(context, nodes)
    context.digested["inputs", *patterns] = seen.digest()
    return seen.digest()


def make_input_tree(
    context: ContextFolder, patterns: Sequence[str], writer: TreeWriter, epoch: int | None
) -> DirectoryRef:
    """Store the files that `digest_inputs` of the same patterns covers as a tree; raises Conflict if they changed since."""
    # Only needed when a step runs.
    from envgit.building.files.attributes import Stamp
    from envgit.building.files.merging import Merging
    from envgit.building.files.target_tree import TargetTree

    root = context.root()
    stamp = Stamp(root.entry.mtime_ns, None if epoch is None else epoch * 1_000_000_000, times="exact")
    tree = TargetTree.create_empty(stamp.new_directory(), writer)
    seen = Fingerprint()
    Merging(context, tree, writer, stamp, seen).copy_directory(root, tree.top, choose(patterns))
    context.check_unchanged(("inputs", *patterns), seen)
    return tree.finish()


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    """Say whether nobody wrote to a file between two looks at it."""
    return (before.st_ino, before.st_dev, before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino, after.st_dev, after.st_size, after.st_mtime_ns, after.st_ctime_ns,
    )  # fmt: skip


def _busy(path: bytes) -> Conflict:
    return Conflict(
        f"{show(path)} in the context is written to all the time", hint="stop what writes to it, then build again"
    )


def _unreadable(path: bytes, error: OSError) -> StorageError:
    return StorageError(
        f"{show(path)} in the context cannot be read: {error.strerror}",
        hint="make it readable, or name it in .dockerignore",
    )

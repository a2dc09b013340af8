"""Is a commit an environment: its top tree, configuration and trailers, and with directories.py its files."""

from __future__ import annotations

from collections.abc import Callable

from envgit.environment_config import parse_config
from envgit.errors import CorruptObject, EnvgitError
from envgit.model import DirectoryRef
from envgit.quarantine.arrived import ArrivedObjects
from envgit.quarantine.directories import DirectoryCheck
from envgit.quarantine.errors import NotAnEnvironment, RefusedObjects
from envgit.quarantine.links import LinkCheck
from envgit.snapshot import CONFIG_NAME, ROOTFS_NAME, read_config_bytes, read_snapshot
from envgit.store.objects import decode_tree, parse_commit
from envgit.trees import MODE_FILE, MODE_TREE, GitTreeReader

CONFIG_MAX_BYTES = 4 << 20
_TOP = {
    ROOTFS_NAME: MODE_TREE,
    CONFIG_NAME: MODE_FILE,
    b"envgit.toml": MODE_FILE,
    b"packages.lock": MODE_FILE,
}
"""What may be beside rootfs/ (docs/format.md section 2)."""
_DIGESTS = (b"Envgit-Root:", b"Envgit-Config:")


class CommitCheck:
    """Checks commits parents first, so that what a parent has is not looked at again."""

    def __init__(self, objects: ArrivedObjects, own_reaches: Callable[[bytes], bool]) -> None:
        self._objects = objects
        self._own_reaches = own_reaches
        reader = GitTreeReader(objects)
        self._directories = DirectoryCheck(objects, reader)
        self._links = LinkCheck(objects, reader)
        self._roots: dict[bytes, DirectoryRef | None] = {}

    def check(self, oid: bytes, parents: tuple[bytes, ...]) -> None:
        """Raise RefusedObjects unless the commit is a whole environment; NotAnEnvironment when it is something else."""
        try:
            root = self._check(oid, parents)
        except RefusedObjects as error:
            raise type(error)(f"commit {oid.hex()[:12]}: {error.message}", hint=error.hint) from None
        except EnvgitError as error:
            raise RefusedObjects(f"commit {oid.hex()[:12]}: {error.message}") from None
        self._roots[oid] = root

    def _check(self, oid: bytes, parents: tuple[bytes, ...]) -> DirectoryRef:
        objects = self._objects
        commit = parse_commit(objects.read(oid)[1])
        type, data = objects.read(commit.tree)
        if type != "tree":
            raise RefusedObjects(f"its tree {commit.tree.hex()} is a {type}")
        names = {name: mode for mode, name, _ in decode_tree(data)}
        if ROOTFS_NAME not in names:
            raise NotAnEnvironment("it has no rootfs/: this is a git repository, but not one of environments")
        try:
            snapshot = read_snapshot(objects, oid)
        except CorruptObject:
            raise NotAnEnvironment("it has a rootfs/, but no Envgit-Root and Envgit-Config of a SHA-256") from None
        _check_digest_lines(commit.message)
        for mode, name, entry in snapshot.tree_entries:
            if name not in _TOP:
                hint = "nothing was kept; a newer envgit may know it"
                raise RefusedObjects(f"it has {name!r} beside rootfs/, which this version does not know", hint=hint)
            if mode != _TOP[name]:
                raise RefusedObjects(f"it has {name.decode()} with mode {mode:o}")
            if mode == MODE_FILE:
                known = objects.look_at(entry)
                if known.type != "blob" or known.size > CONFIG_MAX_BYTES:
                    raise RefusedObjects(f"its {name.decode()} is a {known.type} of {known.size} bytes")
        parse_config(read_config_bytes(objects, snapshot))
        known_roots = [ref for ref in map(self._root_of, parents) if ref is not None]
        root = snapshot.root
        if root not in known_roots:
            self._directories.check(root, known_roots[0] if known_roots else None)
            self._links.check(root)
        return root

    def _root_of(self, parent: bytes) -> DirectoryRef | None:
        """The files of a commit that was checked before, or that a ref of ours reaches."""
        if parent not in self._roots:
            root = None
            if self._own_reaches(parent):
                try:
                    root = read_snapshot(self._objects, parent).root
                except EnvgitError:
                    root = None
            self._roots[parent] = root
        return self._roots[parent]


def _check_digest_lines(message: bytes) -> None:
    """Two answers to one question: programs would differ in which one they take."""
    paragraph = message.rstrip(b"\n").rpartition(b"\n\n")[2]
    for key in _DIGESTS:
        if sum(line.startswith(key) for line in paragraph.split(b"\n")) > 1:
            raise RefusedObjects(f"it has {key.decode()} twice")

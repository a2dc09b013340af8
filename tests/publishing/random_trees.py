"""Trees in memory that grow out of each other by chance: what a history of an environment may look like."""

from __future__ import annotations

from random import Random
from typing import TypeAlias, Union

from envgit.model import Child, DirectoryRef, Entry
from tests.sources.memory_store import MemoryStore

Node: TypeAlias = Union["Folder", tuple[Entry, bytes]]

NAMES = (b"a", b"a.b", b"b", b"c" * 120, b"caf\xe9", b"d", "ж".encode(), b"e f", b"sh", b"x\ny", b".h", b"wh", b"\x01")
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
ACL = bytes.fromhex("02000000 01000600ffffffff 04000400ffffffff 10000600ffffffff 20000400ffffffff".replace(" ", ""))


class Folder(dict[bytes, "Node"]):
    """Entries by name; `own` is the folder's Entry."""

    def __init__(self, own: Entry) -> None:
        super().__init__()
        self.own = own

    def copy(self) -> Folder:
        made = Folder(self.own)
        for name, node in self.items():
            made[name] = node.copy() if isinstance(node, Folder) else node
        return made


def folder(random: Random) -> Folder:
    return Folder(Entry(b".", "d", random.choice((0o755, 0o1777, 0o700)), random.choice((0, 7)), 0, _time(random)))


def grow(tree: Folder, random: Random, steps: int) -> Folder:
    """Return a copy with `steps` changes: things made, replaced by other kinds, changed in part, deleted, linked."""
    tree = tree.copy()
    for _ in range(steps):
        where = random.choice(_folders(tree))
        name = random.choice(NAMES)
        match random.randrange(7):
            case 0:
                where.pop(name, None)
            case 1:
                where[name] = folder(random)
            case 2:
                where.own = where.own._replace(
                    mtime_ns=_time(random), xattrs=random.choice(((), ((b"user.k", b"\0v"),)))
                )
            case _:
                where[name] = _node(random)
    return tree


def store_tree(store: MemoryStore, tree: Folder, random: Random) -> DirectoryRef:
    """Store a tree. Equal files of it, some of them, are one inode."""
    same: dict[tuple[object, ...], list[bytes]] = {}
    for path, node in _files(tree):
        same.setdefault((*node[0][1:], node[1]), []).append(path)
    links = sorted(tuple(sorted(paths)) for paths in same.values() if len(paths) > 1 and random.randrange(4))
    return _put(store, tree, tuple(links))


def _put(store: MemoryStore, tree: Folder, links: tuple[tuple[bytes, ...], ...] = ()) -> DirectoryRef:
    children: list[Child] = []
    for name in sorted(tree):
        node = tree[name]
        if isinstance(node, Folder):
            ref = _put(store, node)
            children.append(Child(Entry(name, "d", sha256=ref.sha256), ref))
            continue
        entry, data = node
        if entry.type == "f":
            stored = store.put_file([data], False)
            entry = entry._replace(size=stored.size, sha256=stored.sha256)
            children.append(Child(entry._replace(name=name), stored.content))
        else:
            children.append(Child(entry._replace(name=name), None))
    return store.put_directory(tree.own, children, links)


def _node(random: Random) -> tuple[Entry, bytes]:
    mode, uid, time = random.choice((0o644, 0o4755, 0)), random.choice((0, 1000, 3_000_000)), _time(random)
    base = Entry(b"", "f", mode, uid, 5, time)
    match random.randrange(12):
        case 0:
            return base._replace(type="l", mode=0, target=random.choice((b"a", b"t" * 200, b"\xff"))), b""
        case 1:
            return base._replace(type="p"), b""
        case 2:
            return base._replace(type="c", device=(1, 3)), b""
        case 3:
            return base._replace(type="b", device=(7, 1000)), b""
        case 4:
            attributes = (
                (b"security.capability", CAPABILITY),
                (b"system.posix_acl_access", ACL),
                (b"user.x", b"=\n\0"),
            )
            return base._replace(xattrs=attributes), b"x"
        case 5:
            return base, bytes(random.choice((512, 513, 70_000)))
        case _:
            return base, random.choice((b"", b"one", b"two" * 300))


def _time(random: Random) -> int:
    return random.choice((0, 1_700_000_000 * 10**9, 1_700_000_000_123_456_789, -1, 10**9 * 8**11))


def _folders(tree: Folder) -> list[Folder]:
    found = [tree]
    for node in tree.values():
        if isinstance(node, Folder):
            found += _folders(node)
    return found


def _files(tree: Folder, prefix: bytes = b"") -> list[tuple[bytes, tuple[Entry, bytes]]]:
    found: list[tuple[bytes, tuple[Entry, bytes]]] = []
    for name, node in sorted(tree.items()):
        if isinstance(node, Folder):
            found += _files(node, prefix + name + b"/")
        elif node[0].type == "f":
            found.append((prefix + name, node))
    return found

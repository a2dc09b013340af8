"""All objects of a repository: packs, loose objects, and what only libgit2 can find (alternates).

Every read is checked against its id. Packs that appear or vanish while the store is open (another envgit, `git gc`)
are noticed by the first object that is not found.
"""

from __future__ import annotations

import os
from hashlib import sha1
from typing import NamedTuple

from envgit.errors import CorruptObject
from envgit.store.deflate import decompress
from envgit.store.pack_reader import Pack
from envgit.store.pack_writer import PackSession
from envgit.store.shallow import ShallowFile

_HEX = frozenset("0123456789abcdef")
_LOOSE_HEADER_BYTES = 32
_LOOSE_MAX_BYTES = 1 << 40


class MissingObject(CorruptObject):
    """An id that is referred to but not in the store."""

    code = "missing-object"


class StoreStatistics(NamedTuple):
    """`pack_bytes` and `loose_bytes` are sizes on disk."""

    packs: int
    pack_bytes: int
    loose_objects: int
    loose_bytes: int


class ObjectStore:
    """Reads objects by id (20 bytes); `objects_dir` is GIT_DIR/objects."""

    def __init__(self, git_dir: str) -> None:
        self.git_dir = git_dir
        self.objects_dir = git_dir + "/objects"
        self._packs: list[Pack] | None = None
        self._loose_folders: frozenset[str] = frozenset()
        self._shallow = ShallowFile(git_dir)

    def packs(self) -> list[Pack]:
        """Return the open packs, those used last first."""
        return self._packs if self._packs is not None else self.refresh()

    def refresh(self) -> list[Pack]:
        """Look at the folder again; packs that are still there stay open."""
        known = {pack.path: pack for pack in self._packs or ()}
        found: list[tuple[int, Pack]] = []
        folder = self.objects_dir + "/pack"
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            names = []
        for name in names:
            if not name.endswith(".idx") or not name.startswith("pack-"):
                continue
            path = f"{folder}/{name}"
            try:
                pack = known.get(path[:-4] + ".pack") or Pack(path)
                found.append((pack.index.count, pack))
            except FileNotFoundError:
                continue
        found.sort(key=lambda item: -item[0])
        self._packs = [pack for _, pack in found]
        try:
            self._loose_folders = frozenset(name for name in os.listdir(self.objects_dir) if len(name) == 2)
        except FileNotFoundError:
            self._loose_folders = frozenset()
        return self._packs

    def contains(self, oid: bytes) -> bool:
        """Whether the store has the object. Cheap when not: what appeared since the last refresh may be missed."""
        for pack in self.packs():
            if pack.index.find(oid) is not None:
                return True
        if self._loose_folders:
            name = oid.hex()
            if name[:2] in self._loose_folders:
                return os.path.exists(f"{self.objects_dir}/{name[:2]}/{name[2:]}")
        return False

    def read(self, oid: bytes) -> tuple[str, bytes]:
        """Return (type, content), checked against the id.

        Raises MissingObject (a CorruptObject) when no pack or file has it, CorruptObject when the bytes are wrong in
        every place that has it.
        """
        found = self._read_packed(oid) or self._read_loose(oid)
        if found is None:
            self.refresh()
            found = self._read_packed(oid) or self._read_loose(oid) or self._read_foreign(oid)
        if found is None:
            raise MissingObject(f"object {oid.hex()} is missing", hint="run 'envgit fsck' to see what needs it")
        return found

    def _read_packed(self, oid: bytes) -> tuple[str, bytes] | None:
        packs = self.packs()
        damage: CorruptObject | None = None
        for place, pack in enumerate(packs):
            offset = pack.index.find(oid)
            if offset is None:
                continue
            try:
                type, data = pack.read(offset, self.read)
                _check(oid, type, data, pack.path)
            except FileNotFoundError:
                continue
            except CorruptObject as error:
                damage = damage or CorruptObject(f"object {oid.hex()}: {error.message}", hint=error.hint)
                continue
            if place:
                packs.insert(0, packs.pop(place))
            return type, data
        if damage is not None:
            loose = self._read_loose(oid)
            if loose is None:
                raise damage
            return loose
        return None

    def _read_loose(self, oid: bytes) -> tuple[str, bytes] | None:
        name = oid.hex()
        if name[:2] not in self._loose_folders:
            return None
        path = f"{self.objects_dir}/{name[:2]}/{name[2:]}"
        try:
            with open(path, "rb") as file:
                stream = file.read()
        except FileNotFoundError:
            return None
        type, data = _inflate_loose(stream, path)
        _check(oid, type, data, path)
        return type, data

    def _read_foreign(self, oid: bytes) -> tuple[str, bytes] | None:
        """Ask libgit2, which knows alternates; only where there are any, because its import takes 50 ms."""
        if not os.path.exists(self.objects_dir + "/info/alternates"):
            return None
        import pygit2

        names = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
        try:
            number, data = pygit2.Odb(self.objects_dir).read(oid.hex())
        except (KeyError, ValueError, pygit2.GitError):
            return None
        _check(oid, names[int(number)], data, self.objects_dir)
        return names[int(number)], data

    def shallow(self) -> frozenset[bytes]:
        """Return the commits whose parents were never fetched; walks of history end there. One stat(2) when nothing changed."""
        return self._shallow.read()

    def pack_session(self) -> PackSession:
        """Begin to write objects into one new pack; objects that are here already are not written again."""
        self.refresh()
        return PackSession(self.objects_dir, self.contains)

    def candidates(self, prefix: str, *, refresh: bool = True) -> list[bytes]:
        """Return the ids that start with 4 to 40 hex digits (lower case), sorted."""
        if refresh:
            self.refresh()
        if not prefix or not _HEX.issuperset(prefix) or len(prefix) > 40:
            return []
        found: set[bytes] = set()
        for pack in self.packs():
            found.update(pack.index.iter_prefix(prefix))
        for folder in self._loose_folders:
            if folder.startswith(prefix[:2]) and _HEX.issuperset(folder):
                for name in os.listdir(f"{self.objects_dir}/{folder}"):
                    if len(name) == 38 and _HEX.issuperset(name) and (folder + name).startswith(prefix):
                        found.add(bytes.fromhex(folder + name))
        return sorted(found)

    def abbreviate(self, oid: str, least: int = 7) -> str:
        """Return the shortest unambiguous prefix of a full id, of at least `least` digits."""
        others = [other.hex() for other in self._near(oid, least) if other.hex() != oid]
        length = least
        while length < 40 and any(other.startswith(oid[:length]) for other in others):
            length += 1
        return oid[:length]

    def _near(self, oid: str, least: int) -> list[bytes]:
        """The ids that share the first digits, without looking at the folder again."""
        return self.candidates(oid[:least], refresh=False)

    def statistics(self) -> StoreStatistics:
        """Count what is on disk."""
        packs = self.refresh()
        pack_bytes = loose = loose_bytes = 0
        for pack in packs:
            for path in (pack.path, pack.index.path):
                try:
                    pack_bytes += os.stat(path).st_size
                except FileNotFoundError:
                    continue
        for folder in self._loose_folders:
            if _HEX.issuperset(folder):
                with os.scandir(f"{self.objects_dir}/{folder}") as entries:
                    for entry in entries:
                        loose += 1
                        loose_bytes += entry.stat(follow_symlinks=False).st_size
        return StoreStatistics(len(packs), pack_bytes, loose, loose_bytes)


def _check(oid: bytes, type: str, data: bytes, where: str) -> None:
    digest = sha1(b"%b %d\0" % (type.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    if digest.digest() != oid:
        raise CorruptObject(
            f"object {oid.hex()} in {where} is damaged: its bytes hash to {digest.hexdigest()}",
            hint="restore it from a clone or a backup; 'envgit fsck' lists everything damaged",
        )


def _inflate_loose(stream: bytes, path: str) -> tuple[str, bytes]:
    """A loose object is one zlib stream of `type size NUL content`."""
    import zlib

    try:
        head = zlib.decompressobj().decompress(stream, _LOOSE_HEADER_BYTES)
        text, separator, _ = head.partition(b"\0")
        type, size = text.split(b" ")
        if not separator or not size.isdigit() or int(size) > _LOOSE_MAX_BYTES:
            raise ValueError("has a malformed header")
        data = decompress(stream, len(text) + 1 + int(size))
        return type.decode("ascii"), data[len(text) + 1 :]
    except (ValueError, zlib.error) as error:
        raise CorruptObject(f"loose object {path} is damaged: {error}") from None

"""Packs and environments as a hostile server would make them: sound ones, and then one thing wrong."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha1, sha256

from envgit.model import Child, DirectoryRef, Entry, Links
from envgit.store.objects import Commit, Signature, encode_commit, encode_tree, hash_object
from envgit.store.pack_writer import entry_header
from envgit.trees import PackTreeWriter

NUMBERS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
WHO = Signature(b"A U Thor", b"author@example.com", 1_700_000_000)
CONFIG = b'{\n  "Cmd": [\n    "/bin/sh"\n  ]\n}\n'


@dataclass
class Objects:
    """Objects by id, with the interface of a pack session."""

    known: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)

    def put(self, type: str, data: bytes) -> bytes:
        oid = hash_object(type, data)
        self.known[oid] = (type, data)
        return oid

    def tree(self, *entries: tuple[int, bytes, bytes]) -> bytes:
        return self.put("tree", encode_tree(entries))

    def replace_in_tree(self, oid: bytes, name: bytes, mode: int | None = None, to: bytes | None = None) -> bytes:
        """A tree with one entry changed, or with `to` b"" dropped."""
        from envgit.store.objects import decode_tree

        entries = [
            (old if each != name or mode is None else mode, each, at if each != name or to is None else to)
            for old, each, at in decode_tree(self.known[oid][1])
            if each != name or to != b""
        ]
        return self.tree(*entries)

    def pack(self, leave_out: Iterable[bytes] = ()) -> bytes:
        return make_pack([item for oid, item in self.known.items() if oid not in set(leave_out)])


@dataclass
class Environment:
    """A small environment: /bin/tool (twice linked), /etc/name, /etc/link, /dev/null, /empty, /big of nine MiB when asked for."""

    objects: Objects = field(default_factory=Objects)

    def file(self, name: bytes, data: bytes, mode: int = 0o644) -> Child:
        stored = PackTreeWriter(self.objects).put_file([data], bool(mode & 0o111))
        return Child(Entry(name, "f", mode, size=len(data), sha256=stored.sha256), stored.content)

    def folder(self, name: bytes, *children: Child, links: Links = ()) -> Child:
        own = Entry(b".", "d", 0o755)
        ref = PackTreeWriter(self.objects).put_directory(own, children, links)
        return Child(Entry(name, "d", sha256=ref.sha256), ref)

    def root(self, *more: Child, tool: bytes = b"#!/bin/sh\n", links: Links | None = None) -> DirectoryRef:
        ends = self.file(b"tool", tool, 0o4755), self.file(b"tool2", tool, 0o4755)
        child = self.folder(
            b"",
            self.folder(b"bin", *ends),
            self.folder(
                b"etc", self.file(b"name", b"example\n"), Child(Entry(b"link", "l", target=b"../bin/tool"), None)
            ),
            self.folder(b"dev", Child(Entry(b"null", "c", 0o666, device=(1, 3)), None)),
            self.folder(b"empty"),
            *more,
            links=((b"bin/tool", b"bin/tool2"),) if links is None else links,
        )
        assert isinstance(child.content, DirectoryRef)
        return child.content

    def commit(
        self,
        root: DirectoryRef,
        *parents: bytes,
        config: bytes = CONFIG,
        message: bytes | None = None,
        top: Iterable[tuple[int, bytes, bytes]] = (),
        tree: bytes | None = None,
    ) -> bytes:
        assert isinstance(root.content, bytes)
        if tree is None:
            tree = self.objects.tree(
                (0o100644, b"config.json", self.objects.put("blob", config)), (0o040000, b"rootfs", root.content), *top
            )
        text = trailers(root.sha256, sha256(config).digest()) if message is None else message
        return self.objects.put("commit", encode_commit(Commit(tree, parents, WHO, WHO, text)))


def trailers(root: bytes, config: bytes) -> bytes:
    return b"small\n\nEnvgit-Root: sha256:%b\nEnvgit-Config: sha256:%b\n" % (root.hex().encode(), config.hex().encode())


def entry(
    type: str | int, data: bytes, *, size: int | None = None, stream: bytes | None = None, base: bytes = b""
) -> bytes:
    """One entry of a pack, with a lie about its size or a stream of one's own."""
    number = NUMBERS[type] if isinstance(type, str) else type
    return (
        entry_header(number, len(data) if size is None else size)
        + base
        + (zlib.compress(data) if stream is None else stream)
    )


def seal(body: bytes, count: int, *, version: int = 2, magic: bytes = b"PACK") -> bytes:
    """A pack with a right trailer around entries."""
    data = magic + version.to_bytes(4, "big") + count.to_bytes(4, "big") + body
    return data + sha1(data).digest()


def make_pack(objects: Iterable[tuple[str, bytes]]) -> bytes:
    entries = [entry(type, data) for type, data in objects]
    return seal(b"".join(entries), len(entries))


def number(value: int) -> bytes:
    """A size as deltas spell it."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def distance(value: int) -> bytes:
    """How far back the base of an OFS_DELTA is."""
    out = [value & 0x7F]
    while value := value >> 7:
        value -= 1
        out.insert(0, value & 0x7F | 0x80)
    return bytes(out)


def copy(start: int, length: int) -> bytes:
    """A delta's command: copy from the base."""
    return b"\xff" + start.to_bytes(4, "little") + length.to_bytes(3, "little")


def insert(data: bytes) -> bytes:
    return bytes((len(data),)) + data

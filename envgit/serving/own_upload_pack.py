"""Answers without git: protocol 2 (gitprotocol-v2(5)) on the store itself.

dulwich's server speaks only the protocol before it, and not to clients whose history is cut short.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from hashlib import sha1
from typing import Final, NamedTuple

from envgit.errors import InvalidName
from envgit.serving.errors import AnswerFailed, BadRequest
from envgit.serving.packet_lines import DELIMITER, FLUSH, encode_line, error_line, iter_lines
from envgit.serving.public_history import Public
from envgit.serving.request import Request
from envgit.serving.selection import Cut, Selection
from envgit.store.deflate import compress
from envgit.store.object_store import ObjectStore
from envgit.store.objects import parse_commit_links
from envgit.store.oid import ZERO_OID, parse_oid
from envgit.store.pack_writer import OBJECT_TYPES, entry_header

_AGENT: Final = b"agent=envgit\n"
_SIDE_BAND_BYTES: Final = 65515
_GATHERED_BYTES: Final = 1 << 17
_UNSUPPORTED: Final = (b"deepen-since", b"deepen-not")


class _Fetch(NamedTuple):
    """The arguments of a fetch. `common`: what the client has of what is public (a checked request names nothing else). `done`: the
    pack is to be sent, whatever is in common."""

    wants: tuple[bytes, ...]
    common: tuple[bytes, ...]
    had: tuple[bytes, ...]
    depth: int | None
    relative: bool
    done: bool
    include_tags: bool
    progress: bool


class OwnUploadPack:
    """Reads the store of a repository; every answer has its own view of the packs."""

    program = "envgit"

    def __init__(self, git_dir: str) -> None:
        self._git_dir = git_dir
        self._stopped = False

    def advertise(self, version: int, public: Public) -> Generator[bytes, None, None]:
        """Yield the capabilities of protocol 2; an error to who does not speak it (git before 2.18)."""
        if version != 2:
            yield error_line("this server speaks only version 2 of git's protocol: git -c protocol.version=2 ...")
            return
        lines = (b"version 2\n", _AGENT, b"ls-refs=unborn\n", b"fetch=shallow\n", b"object-format=sha1\n")
        yield b"".join(map(encode_line, lines)) + FLUSH

    def answer(self, request: Request, version: int, public: Public) -> Generator[bytes, None, None]:
        """Yield names or a pack."""
        if version != 2:
            yield error_line("this server speaks only version 2 of git's protocol")
        elif not request.is_fetch:
            yield _list_refs(request.body, public)
        else:
            fetch = _parse_fetch(request.body)
            yield from self._fetch(fetch, public)

    def stop(self) -> None:
        """Let the answers that are being made end at the next object."""
        self._stopped = True

    def _go_on(self) -> None:
        if self._stopped:
            raise AnswerFailed("the server is stopping")

    def _fetch(self, fetch: _Fetch, public: Public) -> Iterator[bytes]:
        if not fetch.done:
            acks = [b"ACK %b\n" % oid.hex().encode() for oid in fetch.common]
            yield b"".join(
                map(encode_line, [b"acknowledgments\n", *(acks or [b"NAK\n"]), *([b"ready\n"] if acks else [])])
            )
            if not acks:
                yield FLUSH
                return
            yield DELIMITER
        objects = ObjectStore(self._git_dir)
        selection = Selection(objects, self._go_on)
        cut = Cut()
        if fetch.depth is not None or objects.shallow():
            cut = selection.cut(fetch.wants, fetch.had, fetch.depth, fetch.relative)
            lines = [b"shallow-info\n", *(b"shallow %b\n" % oid.hex().encode() for oid in cut.shallow)]
            lines += [b"unshallow %b\n" % oid.hex().encode() for oid in cut.unshallow]
            yield b"".join(map(encode_line, lines)) + DELIMITER
        ends = {*cut.shallow, *fetch.had} - set(cut.unshallow)
        wants = [*fetch.wants, *_cut_parents(objects, cut.unshallow)]
        oids = list(dict.fromkeys(selection.missing(wants, fetch.common, fetch.had, ends)))
        if fetch.include_tags:
            oids += _tags_of(public, set(oids))
        yield encode_line(b"packfile\n")
        if fetch.progress:
            yield encode_line(b"\2counting objects: %d, done.\n" % len(oids))
        for piece in _gathered(self._pack(objects, oids)):
            for start in range(0, len(piece), _SIDE_BAND_BYTES):
                yield encode_line(b"\1" + piece[start : start + _SIDE_BAND_BYTES])
        yield FLUSH

    def _pack(self, objects: ObjectStore, oids: list[bytes]) -> Iterator[bytes]:
        head = b"PACK" + (2).to_bytes(4, "big") + len(oids).to_bytes(4, "big")
        digest = sha1(head, usedforsecurity=False)
        yield head
        for oid in oids:
            self._go_on()
            type, data = objects.read(oid)
            entry = entry_header(OBJECT_TYPES[type], len(data)) + compress(data)
            digest.update(entry)
            yield entry
        yield digest.digest()


def _cut_parents(objects: ObjectStore, unshallow: Iterable[bytes]) -> list[bytes]:
    """Return the parents that a client lacks which has `unshallow` itself."""
    return [parent for oid in unshallow for parent in parse_commit_links(objects.read(oid)[1])[1]]


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in larger pieces."""
    kept: list[bytes] = []
    size = 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece)
        if size >= _GATHERED_BYTES:
            yield b"".join(kept)
            kept, size = [], 0
    yield b"".join(kept)


def _tags_of(public: Public, sent: set[bytes]) -> list[bytes]:
    return [oid for name, oid in public.refs.items() if public.peeled.get(name) in sent and oid not in sent]


def _list_refs(body: bytes, public: Public) -> bytes:
    words = [line.rstrip(b"\n") for _, line in iter_lines(body)]
    prefixes = tuple(word.removeprefix(b"ref-prefix ") for word in words if word.startswith(b"ref-prefix "))
    peel, symbolic = b"peel" in words, b"symrefs" in words
    lines = []
    if public.head is not None and b"HEAD".startswith(prefixes or (b"",)):
        name = public.head.encode("utf-8", "surrogateescape")
        target = b" symref-target:" + name if symbolic else b""
        lines.append(public.refs[public.head].hex().encode() + b" HEAD" + target)
    for full, oid in sorted(public.refs.items()):
        name = full.encode("utf-8", "surrogateescape")
        if name.startswith(prefixes or (b"",)):
            peeled = public.peeled.get(full) if peel else None
            lines.append(oid.hex().encode() + b" " + name + (b" peeled:" + peeled.hex().encode() if peeled else b""))
    return b"".join(encode_line(line + b"\n") for line in lines) + FLUSH


def _parse_fetch(body: bytes) -> _Fetch:
    wants, haves, had = [], [], []
    depth: int | None = None
    flags = set()
    for _, line in iter_lines(body):
        word, _, rest = line.rstrip(b"\n").partition(b" ")
        try:
            if word == b"want":
                wants.append(parse_oid(rest.decode("ascii", "replace")))
            elif word == b"have":
                haves.append(parse_oid(rest.decode("ascii", "replace")))
            elif word == b"shallow":
                had.append(parse_oid(rest.decode("ascii", "replace")))
            elif word == b"deepen":
                depth = max(1, int(rest))
            elif word in _UNSUPPORTED:
                raise BadRequest(f"{word.decode()} needs a server that has git")
            else:
                flags.add(word)
        except (InvalidName, ValueError):
            raise BadRequest("the request has a malformed argument") from None
    if not wants:
        raise BadRequest("the request wants nothing")
    return _Fetch(
        wants=tuple(wants),
        common=tuple(oid for oid in haves if oid != ZERO_OID),
        had=tuple(had),
        depth=depth,
        relative=b"deepen-relative" in flags,
        done=b"done" in flags or not haves,
        include_tags=b"include-tag" in flags,
        progress=b"no-progress" not in flags,
    )

"""Git objects as values: ids, trees, commits, tags (gitformat-pack(5), git's object.c and commit.c)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha1
from typing import NamedTuple

from envgit.errors import CorruptObject, InvalidName
from envgit.store.oid import OID_BYTES as OID_BYTES
from envgit.store.oid import ZERO_OID as ZERO_OID
from envgit.store.oid import parse_oid as parse_oid

MODE_TREE = 0o040000

TreeEntry = tuple[int, bytes, bytes]
"""(mode, name, oid of 20 bytes)."""

_OCTAL = {b"40000": 0o040000, b"100644": 0o100644, b"100755": 0o100755, b"120000": 0o120000, b"160000": 0o160000}
_MODE_BYTES = {mode: text for text, mode in _OCTAL.items()}
_SIGNATURE = re.compile(rb"(.*?) ?<([^<>\n]*)> (-?\d+) ([+-]\d{4})\Z", re.DOTALL)


def hash_object(type: str, data: bytes) -> bytes:
    """Return the id (20 bytes) of an object."""
    digest = sha1(b"%s %d\0" % (type.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.digest()


def _tree_key(entry: TreeEntry) -> bytes:
    return entry[1] + b"/" if entry[0] == MODE_TREE else entry[1]


def encode_tree(entries: Iterable[TreeEntry]) -> bytes:
    """Return the tree object of `entries` given in any order; git's order compares directories as `name/`."""
    modes = _MODE_BYTES
    return b"".join([b"%b %b\0%b" % (modes[mode], name, oid) for mode, name, oid in sorted(entries, key=_tree_key)])


def decode_tree(data: bytes) -> list[TreeEntry]:
    """Return the entries of a tree object in its order; raises CorruptObject when it is malformed."""
    entries: list[TreeEntry] = []
    position, end = 0, len(data)
    find = data.find
    try:
        while position < end:
            space = find(b" ", position, position + 7)
            zero = find(b"\0", space + 1)
            stop = zero + 21
            if space < 0 or zero <= space + 1 or stop > end:
                raise CorruptObject("a tree object is malformed")
            mode = data[position:space]
            entries.append((_OCTAL.get(mode) or int(mode, 8), data[space + 1 : zero], data[zero + 1 : stop]))
            position = stop
    except ValueError:
        raise CorruptObject("a tree object has a malformed mode") from None
    return entries


class Signature(NamedTuple):
    """Who and when, as in an author line. `offset` is `+hhmm` or `-hhmm`."""

    name: bytes
    email: bytes
    seconds: int
    offset: bytes = b"+0000"

    def encode(self) -> bytes:
        """Return `name <email> seconds offset`; characters that would break the line are dropped as git does."""
        return b"%b <%b> %d %b" % (_clean(self.name), _clean(self.email), self.seconds, self.offset)


def _clean(text: bytes) -> bytes:
    """git's strbuf_addstr_without_crud: strip outer punctuation and control bytes, drop inner `<`, `>`, newline."""
    return text.strip(bytes(range(33)) + b".,:;<>\"\\'").translate(None, b"<>\n\0")


def parse_signature(line: bytes) -> Signature:
    """Parse an author line; a foreign malformed one gives its text as the name and time 0, as git shows it."""
    match = _SIGNATURE.match(line)
    if match is None:
        return Signature(line, b"", 0)
    return Signature(match[1], match[2], int(match[3]), match[4])


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit object. `headers` are the other headers (gpgsig, encoding, mergetag, ...) in order."""

    tree: bytes
    parents: tuple[bytes, ...]
    author: Signature
    committer: Signature
    message: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def encode_commit(commit: Commit) -> bytes:
    """Return the commit object; raises InvalidName for a NUL in the message (git's fsck refuses it)."""
    if b"\0" in commit.message:
        raise InvalidName("a commit message cannot contain a NUL byte")
    lines = [b"tree " + commit.tree.hex().encode()]
    lines += [b"parent " + parent.hex().encode() for parent in commit.parents]
    lines.append(b"author " + commit.author.encode())
    lines.append(b"committer " + commit.committer.encode())
    lines += [key + b" " + value.replace(b"\n", b"\n ") for key, value in commit.headers]
    return b"\n".join(lines) + b"\n\n" + commit.message


def _iter_headers(data: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of a commit or tag, continuation lines joined."""
    head = data.partition(b"\n\n")[0]
    headers: list[tuple[bytes, bytes]] = []
    for line in head.split(b"\n"):
        if line[:1] == b" " and headers:
            key, value = headers[-1]
            headers[-1] = (key, value + b"\n" + line[1:])
        elif line:
            key, _, value = line.partition(b" ")
            headers.append((key, value))
    return headers


def parse_commit(data: bytes) -> Commit:
    """Parse a commit object; raises CorruptObject when it lacks what git requires."""
    headers = _iter_headers(data)
    try:
        if headers[0][0] != b"tree":
            raise ValueError
        tree = _parse_hex(headers[0][1])
        index = 1
        parents: list[bytes] = []
        while headers[index][0] == b"parent":
            parents.append(_parse_hex(headers[index][1]))
            index += 1
        if headers[index][0] != b"author" or headers[index + 1][0] != b"committer":
            raise ValueError
        author, committer = parse_signature(headers[index][1]), parse_signature(headers[index + 1][1])
    except (IndexError, ValueError):
        raise CorruptObject("a commit object is malformed") from None
    return Commit(tree, tuple(parents), author, committer, data.partition(b"\n\n")[2], tuple(headers[index + 2 :]))


def parse_commit_links(data: bytes) -> tuple[bytes, tuple[bytes, ...], int]:
    """Return (tree, parents, committer seconds) only: what a history walk needs, several times faster."""
    try:
        if data[:5] != b"tree ":
            raise ValueError
        tree = _parse_hex(data[5:45])
        position = 46
        parents: list[bytes] = []
        while data[position : position + 7] == b"parent ":
            parents.append(_parse_hex(data[position + 7 : position + 47]))
            position += 48
        start = data.index(b"\ncommitter ", position)
        line = data[start + 11 : data.index(b"\n", start + 11)]
    except ValueError:
        raise CorruptObject("a commit object is malformed") from None
    try:
        seconds = int(line[line.rindex(b"> ") + 2 :].split(b" ", 1)[0])
    except ValueError:
        seconds = 0
    return tree, tuple(parents), seconds


def parse_tag_target(data: bytes) -> tuple[bytes, str]:
    """Return (oid, type) of the object that an annotated tag names."""
    try:
        headers = dict(_iter_headers(data))
        return _parse_hex(headers[b"object"]), headers[b"type"].decode("ascii")
    except (KeyError, ValueError):
        raise CorruptObject("a tag object is malformed") from None


@dataclass(frozen=True, slots=True)
class Tag:
    """An annotated tag object. `type` is that of `target`; `tagger` is absent in very old tags."""

    target: bytes
    type: str
    name: bytes
    tagger: Signature | None
    message: bytes


def encode_tag(tag: Tag) -> bytes:
    """Return the tag object."""
    lines = [b"object " + tag.target.hex().encode(), b"type " + tag.type.encode(), b"tag " + tag.name]
    if tag.tagger is not None:
        lines.append(b"tagger " + tag.tagger.encode())
    return b"\n".join(lines) + b"\n\n" + tag.message


def parse_tag(data: bytes) -> Tag:
    """Parse a tag object; raises CorruptObject."""
    target, type = parse_tag_target(data)
    headers = dict(_iter_headers(data))
    tagger = parse_signature(headers[b"tagger"]) if b"tagger" in headers else None
    return Tag(target, type, headers.get(b"tag", b""), tagger, data.partition(b"\n\n")[2])


def _parse_hex(text: bytes) -> bytes:
    if len(text) != 40:
        raise ValueError
    return bytes.fromhex(text.decode("ascii"))

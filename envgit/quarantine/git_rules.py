"""What git's fsck demands of commits, tags and trees (git's fsck.c, the message ids that are errors under --strict).

Whatever is let in is handed on by the next push, and a host that checks would refuse the whole repository because of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from envgit.errors import InvalidName
from envgit.quarantine.errors import RefusedObjects
from envgit.store.entry_name import LINKS_NAME, METADATA_NAME
from envgit.store.objects import ZERO_OID, TreeEntry
from envgit.store.ref_names import check_tag_name

MAX_HEADER_BYTES = 4 << 20
"""Of a commit or tag: room for large signatures and many parents."""
MAX_PARENTS = 4096
_MODES = {b"40000": 0o040000, b"100644": 0o100644, b"100755": 0o100755, b"120000": 0o120000, b"160000": 0o160000}
"""A submodule is fine for git; that no environment has one is said where environments are checked."""
_TREE = 0o040000
_WHO = re.compile(rb"[^<>\n\0]* <[^<>\n\0]*> (0|[1-9][0-9]{0,18}) [+-][0-9]{4}")
_OID = re.compile(rb"[0-9a-f]{40}")
_HEADER = re.compile(rb"[!-~]+ [^\0]*|[!-~]+")
_LATEST_SECONDS = (1 << 63) - 1
_HIDDEN = re.compile(rb"\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf")
_GIT_FOLDER = re.compile(rb"(?:\.git|git~1)(?:[ .]*\Z|[ .]*[:\\]|[\x80-\xff])", re.IGNORECASE)
_SUSPICIOUS = re.compile(rb"\.git|~|\xe2\x80|\xe2\x81|\xef\xbb\xbf", re.IGNORECASE)


def check_git_rules(type: str, data: bytes) -> None:
    """Check one object of any type; raises RefusedObjects saying what is wrong, without naming the object."""
    check = _CHECKS.get(type)
    if check is not None:
        check(data)


def parse_tree_strictly(data: bytes) -> list[TreeEntry]:
    """Return the entries of a tree that git's fsck is content with. Raises RefusedObjects."""
    entries: list[TreeEntry] = []
    position, end = 0, len(data)
    previous = b""
    files: set[bytes] = set()
    while position < end:
        space = data.find(b" ", position, position + 7)
        zero = data.find(b"\0", space + 1)
        if space < 0 or zero < 0 or zero + 21 > end:
            raise RefusedObjects("a tree is cut off or malformed")
        mode = _MODES.get(data[position:space])
        name = data[space + 1 : zero]
        oid = data[zero + 1 : zero + 21]
        start, position = position, zero + 21
        if mode is None:
            raise RefusedObjects(f"a tree has an entry of mode {data[start:space]!r}: {name!r}")
        _check_name(name, mode)
        if oid == ZERO_OID:
            raise RefusedObjects(f"a tree has an entry without object: {name!r}")
        key = name + b"/" if mode == _TREE else name
        if entries and key <= previous:
            what = "twice" if key == previous else "out of order"
            raise RefusedObjects(f"a tree has the entry {name!r} {what}")
        # `a` and `a/` do not follow each other when `a.b` is between them.
        if mode == _TREE:
            if name in files:
                raise RefusedObjects(f"a tree has the entry {name!r} twice")
        else:
            files.add(name)
        previous = key
        entries.append((mode, name, oid))
    return entries


def _check_name(name: bytes, mode: int) -> None:
    if not name or name in (b".", b"..") or b"/" in name:
        raise RefusedObjects(f"a tree has an entry that leaves it: {name!r}")
    if len(name) > 4096:
        raise RefusedObjects("a tree has an entry with a name of more than 4096 bytes")
    if name in (METADATA_NAME, LINKS_NAME) and mode != 0o100644:
        raise RefusedObjects(f"a tree has {name.decode()} with mode {mode:o}")
    if _SUSPICIOUS.search(name) and _GIT_FOLDER.match(_HIDDEN.sub(b"", name)):
        raise RefusedObjects(f"a tree has an entry that git takes for its own folder: {name!r}")


class _Headers:
    """The header lines of a commit or tag, taken off one by one."""

    def __init__(self, data: bytes, what: str) -> None:
        end = data.find(b"\n\n", 0, MAX_HEADER_BYTES + 2)
        if end < 0 and data.endswith(b"\n") and len(data) <= MAX_HEADER_BYTES:
            end = len(data) - 1
        if end < 0:
            raise RefusedObjects(f"a {what} has no end of its header, or one of more than {MAX_HEADER_BYTES} bytes")
        head = data[:end]
        if b"\0" in data:
            raise RefusedObjects(f"a {what} contains a NUL byte")
        self._lines = head.split(b"\n")
        self._next = 0
        self._what = what

    def has(self, key: bytes) -> bool:
        """Say whether the next line has this key."""
        return self._next < len(self._lines) and self._lines[self._next].startswith(key + b" ")

    def take(self, key: bytes) -> bytes | None:
        """Return the value of the next line when it has this key."""
        if self.has(key):
            self._next += 1
            return self._lines[self._next - 1][len(key) + 1 :]
        return None

    def need(self, key: bytes, shape: re.Pattern[bytes]) -> bytes:
        value = self.take(key)
        if value is None:
            raise RefusedObjects(f"a {self._what} lacks its line {key.decode()!r}, or has it elsewhere")
        if not shape.fullmatch(value):
            raise RefusedObjects(f"a {self._what} has a malformed line {key.decode()!r}: {value[:120]!r}")
        return value

    def who(self, key: bytes) -> None:
        match = _WHO.fullmatch(value := self.need(key, re.compile(rb"[^\n]*")))
        if match is None or int(match[1]) > _LATEST_SECONDS:
            raise RefusedObjects(f"a {self._what} has a malformed line {key.decode()!r}: {value[:120]!r}")

    def rest(self, unique: frozenset[bytes]) -> None:
        for line in self._lines[self._next :]:
            if line.startswith(b" "):
                continue
            if not _HEADER.fullmatch(line):
                raise RefusedObjects(f"a {self._what} has a malformed header line: {line[:120]!r}")
            if line.partition(b" ")[0] in unique:
                raise RefusedObjects(f"a {self._what} has a second or misplaced line {line[:120]!r}")


def _check_commit(data: bytes) -> None:
    headers = _Headers(data, "commit")
    if headers.need(b"tree", _OID) == b"0" * 40:
        raise RefusedObjects("a commit names no tree")
    parents: set[bytes] = set()
    while (parent := headers.take(b"parent")) is not None:
        if not _OID.fullmatch(parent):
            raise RefusedObjects(f"a commit has a malformed line 'parent': {parent[:120]!r}")
        parents.add(parent)
        if len(parents) > MAX_PARENTS:
            raise RefusedObjects(f"a commit has more than {MAX_PARENTS} parents")
    headers.who(b"author")
    headers.who(b"committer")
    headers.rest(frozenset((b"tree", b"parent", b"author", b"committer")))


def _check_tag(data: bytes) -> None:
    headers = _Headers(data, "tag")
    headers.need(b"object", _OID)
    headers.need(b"type", re.compile(rb"commit|tree|blob|tag"))
    name = headers.need(b"tag", re.compile(rb"[^\n]+"))
    try:
        check_tag_name(name.decode("utf-8", "surrogateescape"))
    except InvalidName as error:
        raise RefusedObjects(f"a tag has a name that no tag can have: {name[:120]!r}") from error
    if headers.has(b"tagger"):  # git's oldest tags have none
        headers.who(b"tagger")
    headers.rest(frozenset((b"object", b"type", b"tag", b"tagger")))


def _check_tree(data: bytes) -> None:
    parse_tree_strictly(data)


_CHECKS: dict[str, Callable[[bytes], None]] = {"commit": _check_commit, "tag": _check_tag, "tree": _check_tree}

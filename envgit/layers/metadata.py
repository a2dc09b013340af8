"""The text of `%meta` and `%links` (docs/format.md sections 4 and 6), in its one spelling.

Parsing is strict by construction: what was parsed is formatted again and must be the same bytes.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from envgit.errors import CorruptObject, HostileInput
from envgit.layers.escape import escape as escape
from envgit.layers.escape import unescape as unescape
from envgit.model import Entry, Links, Xattrs

HEADER = b"envgit-directory 1"
NAME_MAX_BYTES = 255
TARGET_MAX_BYTES = 4095
_ID_LIMIT = 0xFFFFFFFF
_SIZE_LIMIT = 1 << 63
_MTIME_LIMIT = (1 << 63) * 1_000_000_000

_UNSAFE = re.compile(rb"[\x00-\x20\x7f-\xff\\]")
_UNSAFE_ATTRIBUTE = re.compile(rb"[\x00-\x20\x7f-\xff\\=]")


class ParsedDirectory(NamedTuple):
    """What a `%meta` says. `entries` are in name order; directories among them carry only name, type and sha256."""

    own: Entry
    entries: list[Entry]
    links_sha256: bytes | None


def check_name(name: bytes) -> None:
    """Raise HostileInput unless `name` can be the name of a file (docs/format.md section 3)."""
    if not 0 < len(name) <= NAME_MAX_BYTES or b"/" in name or b"\0" in name or name in (b".", b".."):
        raise HostileInput(f"{name!r} is not a file name")


def is_stored_xattr(name: bytes) -> bool:
    """Say whether the format keeps an extended attribute of this name."""
    if name.startswith((b"user.", b"trusted.")):
        return name not in (b"user.", b"trusted.") and not name.startswith((b"user.overlay.", b"trusted.overlay."))
    return name in (b"security.capability", b"system.posix_acl_access", b"system.posix_acl_default")


def is_kernel_device(device: tuple[int, int]) -> bool:
    """Say whether a Linux kernel can have a device of this number (12 and 20 bits, MKDEV of linux/kdev_t.h)."""
    return 0 <= device[0] < 1 << 12 and 0 <= device[1] < 1 << 20


def kernel_device(entry: Entry) -> tuple[int, int]:
    """Return the number of a device that can be created. Raises HostileInput for others."""
    if entry.device is None or entry.device == (0, 0) or not is_kernel_device(entry.device):
        shown = ascii(entry.name.decode("utf-8", "surrogateescape"))
        raise HostileInput(f"{shown} is a device of a number that no Linux kernel has")
    return entry.device


def format_directory(own: Entry, entries: Iterable[Entry], links_sha256: bytes | None = None) -> bytes:
    """Return the `%meta` of a directory. `entries` in any order; names must be unique.

    Raises HostileInput for values that the format does not admit.
    """
    first = f". {own.mode:04o} {own.uid} {own.gid} {own.mtime_ns}".encode()
    if links_sha256 is not None:
        first += b" links=" + links_sha256.hex().encode()
    _check_numbers(own)
    if own.xattrs:
        first += _format_xattrs(own.xattrs)
    lines = [HEADER, first]
    append = lines.append
    previous = b""
    for entry in sorted(entries, key=_entry_name):
        name = entry.name
        if name == previous:
            raise HostileInput(f"{name!r} appears twice in one directory")
        previous = name
        append(_format_entry(entry))
    append(b"")
    return b"\n".join(lines)


def parse_directory(data: bytes) -> ParsedDirectory:
    """Read a `%meta`. Raises CorruptObject unless it is exactly what `format_directory` makes of its meaning."""
    lines = data.split(b"\n")
    try:
        if lines[0] != HEADER:
            raise ValueError("header")
        fields = lines[1].split(b" ")
        if fields[0] != b".":
            raise ValueError("own line")
        links = None
        rest = fields[5:]
        if rest and rest[0].startswith(b"links="):
            links = bytes.fromhex(rest[0][6:].decode("ascii"))
            if len(links) != 32:
                raise ValueError("links")
            rest = rest[1:]
        own = Entry(
            b".",
            "d",
            int(fields[1], 8),
            int(fields[2]),
            int(fields[3]),
            int(fields[4]),
            xattrs=_parse_xattrs(rest) if rest else (),
        )
        entries = [_parse_entry(line) for line in lines[2:-1]]
        again = format_directory(own, entries, links)
    except (ValueError, IndexError, Base64Error, HostileInput) as error:
        raise CorruptObject(f"directory metadata is damaged: {error}") from error
    if again != data:
        raise CorruptObject("directory metadata is not in its canonical form")
    return ParsedDirectory(own, entries, links)


def format_links(links: Links) -> bytes:
    """Return the `%links` blob of one or more hard-link sets. Raises HostileInput for sets that are none."""
    lines = []
    seen: set[bytes] = set()
    for paths in links:
        if len(paths) < 2:
            raise HostileInput("a hard-link set has fewer than two names")
        for path in paths:
            if path in seen:
                raise HostileInput(f"{path!r} is in two hard-link sets")
            seen.add(path)
            for name in path.split(b"/"):
                check_name(name)
        lines.append(b" ".join([escape(path) for path in sorted(paths)]))
    lines.sort()
    return b"".join([line + b"\n" for line in lines])


def parse_links(data: bytes) -> Links:
    """Read a `%links` blob. Raises CorruptObject unless it is canonical and not empty."""
    try:
        links = tuple(tuple(unescape(path) for path in line.split(b" ")) for line in data.split(b"\n")[:-1])
        again = format_links(links)
    except HostileInput as error:
        raise CorruptObject(f"hard-link list is damaged: {error}") from error
    if again != data or not links:
        raise CorruptObject("hard-link list is not in its canonical form")
    return sort_links(links)


def sort_links(sets: Iterable[Sequence[bytes]]) -> Links:
    """Return the sets of two or more paths as the model wants them: sorted, each sorted."""
    return tuple(sorted(tuple(sorted(paths)) for paths in sets if len(paths) > 1))


def _entry_name(entry: Entry) -> bytes:
    return entry.name


def _octal(match: re.Match[bytes]) -> bytes:
    return b"\\%03o" % match[0][0]


def _format_entry(entry: Entry) -> bytes:
    name, kind, mode, uid, gid, mtime_ns, size, sha256, target, device, sparse, xattrs = entry
    if not 0 < len(name) <= NAME_MAX_BYTES or b"/" in name or b"\0" in name or name in (b".", b".."):
        raise HostileInput(f"{name!r} is not a file name")
    if _UNSAFE.search(name) is not None:
        name = _UNSAFE.sub(_octal, name)
    if kind == "d":
        if sha256 is None or len(sha256) != 32:
            raise HostileInput(f"{name!r} has no hash")
        return b"%b d %b" % (name, sha256.hex().encode())
    _check_numbers(entry)
    if kind == "f":
        if sha256 is None or len(sha256) != 32 or not 0 <= size < _SIZE_LIMIT:
            raise HostileInput(f"{name!r} has no hash or a size out of range")
        line = b"%b f %04o %d %d %d %d %b" % (name, mode, uid, gid, mtime_ns, size, sha256.hex().encode())
        if sparse:
            line += b" sparse"
    elif kind == "l":
        if not 0 < len(target) <= TARGET_MAX_BYTES or b"\0" in target:
            raise HostileInput(f"{name!r} has a target that no symbolic link can have")
        if mode:
            raise HostileInput(f"{name!r} is a symbolic link with a mode")
        line = b"%b l %d %d %d %b" % (name, uid, gid, mtime_ns, escape(target))
    elif kind == "p":
        line = b"%b p %04o %d %d %d" % (name, mode, uid, gid, mtime_ns)
    elif kind in ("c", "b"):
        if device is None or not (0 <= device[0] <= _ID_LIMIT and 0 <= device[1] <= _ID_LIMIT):
            raise HostileInput(f"{name!r} is a device without number")
        if kind == "c" and device == (0, 0):
            raise HostileInput(f"{name!r} is a character device 0:0, which is a whiteout")
        line = b"%b %b %04o %d %d %d %d:%d" % (name, kind.encode(), mode, uid, gid, mtime_ns, *device)
    else:
        raise HostileInput(f"{name!r} has the unknown type {kind!r}")
    return line + _format_xattrs(xattrs) if xattrs else line


def _parse_entry(line: bytes) -> Entry:
    fields = line.split(b" ")
    name = unescape(fields[0])
    kind = fields[1]
    if kind == b"f":
        rest = fields[8:]
        sparse = bool(rest) and rest[0] == b"sparse"
        if sparse:
            rest = rest[1:]
        return Entry(
            name,
            "f",
            int(fields[2], 8),
            int(fields[3]),
            int(fields[4]),
            int(fields[5]),
            int(fields[6]),
            bytes.fromhex(fields[7].decode("ascii")),
            b"",
            None,
            sparse,
            _parse_xattrs(rest) if rest else (),
        )
    if kind == b"d":
        if len(fields) != 3:
            raise ValueError("directory line")
        return Entry(name, "d", sha256=bytes.fromhex(fields[2].decode("ascii")))
    if kind == b"l":
        return Entry(
            name,
            "l",
            0,
            int(fields[2]),
            int(fields[3]),
            int(fields[4]),
            target=unescape(fields[5]),
            xattrs=_parse_xattrs(fields[6:]),
        )
    mode, uid, gid, mtime_ns = int(fields[2], 8), int(fields[3]), int(fields[4]), int(fields[5])
    if kind == b"p":
        return Entry(name, "p", mode, uid, gid, mtime_ns, xattrs=_parse_xattrs(fields[6:]))
    if kind in (b"c", b"b"):
        major, _, minor = fields[6].partition(b":")
        return Entry(
            name,
            "c" if kind == b"c" else "b",
            mode,
            uid,
            gid,
            mtime_ns,
            device=(int(major), int(minor)),
            xattrs=_parse_xattrs(fields[7:]),
        )
    raise ValueError("unknown type")


def _check_numbers(entry: Entry) -> None:
    if not (
        0 <= entry.mode <= 0o7777
        and 0 <= entry.uid < _ID_LIMIT
        and 0 <= entry.gid < _ID_LIMIT
        and -_MTIME_LIMIT <= entry.mtime_ns < _MTIME_LIMIT
    ):
        raise HostileInput(f"{entry.name!r} has a mode, owner or time out of range")


def _format_xattrs(xattrs: Xattrs) -> bytes:
    parts = []
    previous = b""
    for name, value in sorted(xattrs):
        if name == previous or not is_stored_xattr(name) or not len(name) <= NAME_MAX_BYTES or b"\0" in name:
            raise HostileInput(f"{name!r} is not an extended attribute that can be stored")
        previous = name
        parts.append(b" x:%b=%b" % (_UNSAFE_ATTRIBUTE.sub(_octal, name), b2a_base64(value, newline=False)))
    return b"".join(parts)


def _parse_xattrs(fields: list[bytes]) -> Xattrs:
    xattrs = []
    for text in fields:
        name, equals, value = text.partition(b"=")
        if not equals or not name.startswith(b"x:"):
            raise ValueError("extended attribute")
        xattrs.append((unescape(name[2:]), a2b_base64(value, strict_mode=True)))
    return tuple(xattrs)

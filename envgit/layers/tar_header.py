"""Headers of members of tar archives: ustar (POSIX.1-1988), with PAX records (POSIX.1-2001) for what that cannot say."""

from __future__ import annotations

from envgit.layers.sources.acl_text import format_acl
from envgit.model import Entry

BLOCK = 512
TYPES = {"f": b"0", "d": b"5", "l": b"2", "p": b"6", "c": b"3", "b": b"4"}
HARD_LINK = b"1"
_SECOND = 1_000_000_000
_NO_NAMES = bytes(64)
"""Of owner and group."""
_REST = bytes(BLOCK - 345)
_ACLS = {
    b"system.posix_acl_access": b"SCHILY.acl.access",
    b"system.posix_acl_default": b"SCHILY.acl.default",
}


def format_member(
    name: bytes, entry: Entry, type_: bytes, link: bytes, *, sparse: int = 0, acls_as_text: bool = True
) -> bytes:
    """Return the header blocks of one member called `name`: an extended header only if ustar cannot say it.

    `type_`: as in tar(5); "1" is a hard link to `link`. `acls_as_text`: as star and GNU tar write them, else as any other
    attribute, which is how images have them. `sparse`: bytes that a sparse member has in the archive, map included; 0 for
    every other one.
    """
    records: list[tuple[bytes, bytes]] = []
    seconds, fraction = divmod(entry.mtime_ns, _SECOND)
    size = sparse or (entry.size if type_ == b"0" else 0)
    if fraction or not 0 <= seconds < 8**11:
        records.append((b"mtime", _decimal(entry.mtime_ns)))
    binary = False
    if sparse:
        records += [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", name)]
        records.append((b"GNU.sparse.realsize", b"%d" % entry.size))
        binary = not _is_utf8(name)
        # What a reader that does not know sparse members will make of this one.
        name = b"./GNUSparseFile.0/" + name[-80:].rpartition(b"/")[2]
    for key, text in ((b"path", name), (b"linkpath", link)):
        # A short name that is not UTF-8 stands raw in the header, where every reader takes it as it is.
        if len(text) > 100 or (not text.isascii() and _is_utf8(text)):
            records.append((key, text))
            binary = binary or not _is_utf8(text)
    for key, number, limit in ((b"size", size, 8**11), (b"uid", entry.uid, 8**7), (b"gid", entry.gid, 8**7)):
        if number >= limit:
            records.append((key, b"%d" % number))
    if type_ != b"1":
        for attribute, value in entry.xattrs:
            acl = format_acl(value) if acls_as_text and attribute in _ACLS else None
            if acl is not None:
                records.append((_ACLS[attribute], acl))
            else:
                records.append((b"SCHILY.xattr." + attribute, value))
    major, minor = entry.device or (0, 0)
    header = _ustar(name, entry.mode if type_ != b"2" else 0o777, entry.uid, entry.gid, size,
                    max(0, min(seconds, 8**11 - 1)), type_, link, major, minor)  # fmt: skip
    if not records:
        return header
    content = b"".join(_record(key, value) for key, value in sorted(records))
    if binary:
        content = _record(b"hdrcharset", b"BINARY") + content
    extended = _ustar(b"./PaxHeaders/" + name[-80:].strip(b"/").rpartition(b"/")[2], 0o644, 0, 0, len(content), 0,
                      b"x", b"", 0, 0)  # fmt: skip
    return extended + content + bytes(-len(content) % BLOCK) + header


def _ustar(
    name: bytes, mode: int, uid: int, gid: int, size: int, mtime: int, type_: bytes, link: bytes, major: int, minor: int
) -> bytes:
    """Return the block. A number that does not fit is 0: a record has it."""
    before = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name[:100].ljust(100, b"\0"),
        mode,
        uid if uid < 8**7 else 0,
        gid if gid < 8**7 else 0,
        size if size < 8**11 else 0,
        mtime,
    )
    after = b"%b%bustar\x0000%b%07o\0%07o\0" % (
        type_,
        link[:100].ljust(100, b"\0"),
        _NO_NAMES,
        major if major < 8**7 else 0,
        minor if minor < 8**7 else 0,
    )
    check = sum(before) + sum(after) + 8 * 0x20
    return b"%b%06o\0 %b%b" % (before, check, after, _REST)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _record(key: bytes, value: bytes) -> bytes:
    body = len(key) + len(value) + 3
    length = body + len(str(body))
    length = body + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _decimal(ns: int) -> bytes:
    seconds, fraction = divmod(abs(ns), _SECOND)
    text = f"{seconds}.{fraction:09d}".rstrip("0").rstrip(".")
    return (("-" if ns < 0 else "") + text).encode()

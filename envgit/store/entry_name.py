"""File names as git tree entry names, and back (docs/format.md section 3).

git and hosting sites refuse `.git` and its disguises and interpret `.gitmodules` and its siblings; real environments hold
all of them. The escape is injective and leaves every other name alone.
"""

from __future__ import annotations

import re

from envgit.errors import CorruptObject, InvalidName

METADATA_NAME = b"%meta"
LINKS_NAME = b"%links"
NAME_MAX_BYTES = 255

# The code points HFS+ ignores when it compares names, in UTF-8 (git's utf8.c, next_hfs_char).
_HFS_IGNORED = re.compile(rb"\xe2\x80[\x8c-\x8f\xaa-\xae]|\xe2\x81[\xaa-\xaf]|\xef\xbb\xbf")
_GIT_WORD = re.compile(rb"\.(?:git(?:modules|attributes|ignore)?|mailmap)(?:[ .]*\Z|[ .]*:|[\x80-\xff])", re.IGNORECASE)
_NTFS_SHORT = re.compile(rb"[gm][a-z0-9]{0,5}~[1-9]", re.IGNORECASE)
# Nearly every name is decided by this one search: only names with one of these marks can need an escape.
_SUSPICIOUS = re.compile(rb"^%|\\|~|[.](?:git|mailmap)|\xe2\x80|\xe2\x81|\xef\xbb\xbf", re.IGNORECASE)


def _needs_escape(name: bytes) -> bool:
    if name[:1] == b"%" or b"\\" in name:
        return True
    return bool(_GIT_WORD.match(_HFS_IGNORED.sub(b"", name)) or _NTFS_SHORT.match(name))


def encode_entry_name(name: bytes) -> bytes:
    """Return the git tree entry name of a file name.

    Raises InvalidName for what no directory can hold: empty, `.`, `..`, over 255 bytes, with NUL or `/`.
    """
    if not name or name in (b".", b"..") or len(name) > NAME_MAX_BYTES or b"/" in name or b"\0" in name:
        raise InvalidName(f"{name[:80]!r} cannot be the name of a file")
    if not _SUSPICIOUS.search(name) or not _needs_escape(name):
        return name
    return b"%" + name.replace(b"%", b"%25").replace(b"\\", b"%5c")


def decode_entry_name(stored: bytes) -> bytes:
    """Return the file name of a git tree entry name; raises CorruptObject when it is not an encoding."""
    escaped = stored[:1] == b"%"
    name = stored[1:].replace(b"%5c", b"\\").replace(b"%25", b"%") if escaped else stored
    try:
        canonical = encode_entry_name(name)
    except InvalidName as error:
        raise CorruptObject(f"tree entry {stored!r} is not a file name") from error
    if canonical != stored:
        raise CorruptObject(f"tree entry {stored!r} is not in its one spelling")
    return name

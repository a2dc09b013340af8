"""Archives of images: plain tar files of a few large members, without owners and times."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import BinaryIO, Final, NamedTuple

from envgit.layers.tar_header import BLOCK, TYPES, format_member
from envgit.model import Entry

_RECORD: Final = 20 * BLOCK


class Member(NamedTuple):
    size: int
    open: Callable[[], BinaryIO]


def write_archive(out: BinaryIO, members: Mapping[str, Member]) -> None:
    """Write the members in the order of their names, after the folders they are in. Raises OSError of `out`."""
    written = 0
    folders: set[str] = set()
    for name in sorted(members):
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth]) + "/"
            if folder not in folders:
                folders.add(folder)
                written += out.write(format_member(folder.encode(), Entry(b"", "d", 0o755), TYPES["d"], b""))
        member = members[name]
        entry = Entry(b"", "f", 0o644, size=member.size)
        written += out.write(format_member(name.encode(), entry, TYPES["f"], b""))
        with member.open() as source:
            shutil.copyfileobj(source, out, 1024 * 1024)
        written += member.size
        written += out.write(bytes(-member.size % BLOCK))
    end = 2 * BLOCK
    out.write(bytes(end + -(written + end) % _RECORD))

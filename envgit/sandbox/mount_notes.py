"""What was mounted over a set of changes: `mounts` beside the upper directory, so that no commit leaves a volume out silently.

Lines are only ever appended, each with one write: runs in one worktree need no lock for it. `mounted` lines name the commit
over which the run worked, so that they are said at its commit and not for ever; `created` lines name mount points that
exist only because something was mounted there.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import NamedTuple

from envgit.errors import CorruptObject
from envgit.layers.escape import escape, unescape
from envgit.layers.ignore import VOLATILE_DIRECTORIES
from envgit.sandbox.request import MountRequest
from envgit.store import storage

FILE = "mounts"
_HEADER = b"envgit-mounts 1\n"
_KINDS = frozenset((b"bind", b"tmpfs", b"volume", b"rev"))


class MountNote(NamedTuple):
    """`kind`: bind, tmpfs, volume or rev; `target`: as asked for, absolute; `source`: host path, name, REV:/path or b""."""

    kind: str
    target: bytes
    source: bytes


class Notes(NamedTuple):
    """`mounted`: by the commit (oid) over which each was mounted; `created`: paths without leading slash."""

    mounted: tuple[tuple[bytes, MountNote], ...]
    created: frozenset[bytes]

    def over(self, bases: Collection[bytes]) -> tuple[MountNote, ...]:
        """Return what was mounted over one of the commits, once each, by target."""
        return tuple(sorted({note for base, note in self.mounted if base in bases}, key=_place))


def _place(note: MountNote) -> tuple[bytes, str, bytes]:
    return note.target, note.kind, note.source


def note_mounts(folder: str, base: bytes, mounts: Iterable[MountRequest]) -> None:
    """Note, before a run, what it mounts. `folder` holds the upper directory; `base` is the commit below it.

    Memory below /tmp, /run and /dev, whose content is never recorded anyway, is not worth a word.
    """
    lines = []
    for mount in mounts:
        target = os.fsencode(mount.target)
        if mount.kind == "tmpfs" and target.strip(b"/").partition(b"/")[0] in VOLATILE_DIRECTORIES:
            continue
        words = (
            b"mounted",
            base.hex().encode(),
            mount.kind.encode(),
            escape(target),
            escape(os.fsencode(mount.source)),
        )
        lines.append(b" ".join(words))
    _append(folder, lines)


def note_created(folder: str, created: Iterable[bytes]) -> None:
    """Note, after the start, which mount points were made in the upper directory (Sandbox.created)."""
    _append(folder, [b"created " + escape(path) for path in created])


def read_notes(upper_fd: int) -> Notes:
    """Return the notes beside an open upper directory; without a file there are none. Raises CorruptObject."""
    try:
        fd = os.open(b"../" + FILE.encode(), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=upper_fd)
    except OSError:
        return Notes((), frozenset())
    with open(fd, "rb") as file:
        return _parse(file.read())


def describe_note(note: MountNote) -> str:
    """Return where the content is, in words: `volume db`, `folder /src of the host`, `memory`, `revision main:/etc`."""
    source = os.fsdecode(note.source)
    if note.kind == "tmpfs":
        return "memory"
    if note.kind == "bind":
        return f"host: {source}"
    if note.kind == "volume":
        from envgit.sandbox.named_volumes import is_anonymous

        return f"anonymous volume {source[:12]}" if is_anonymous(source) else f"volume {source}"
    return f"revision {source}"


def _append(folder: str, lines: list[bytes]) -> None:
    path = f"{folder}/{FILE}"
    try:
        with open(path, "rb") as file:
            known = set(file.read().split(b"\n"))
    except FileNotFoundError:
        known = set()
    new = [line for line in lines if line not in known]
    if new:
        header = b"" if known else _HEADER
        storage.append(path, header + b"\n".join(new) + b"\n", step="mount-notes")


def _parse(text: bytes) -> Notes:
    mounted, created = [], set()
    for line in text.split(b"\n"):
        word, *fields = line.split(b" ")
        if word == b"created" and len(fields) == 1:
            created.add(unescape(fields[0]))
        elif word == b"mounted" and len(fields) == 4 and fields[1] in _KINDS:
            try:
                base = bytes.fromhex(fields[0].decode("ascii"))
            except ValueError:
                raise CorruptObject("the notes of mounts are damaged", hint="remove the file `mounts`") from None
            note = MountNote(fields[1].decode("ascii"), unescape(fields[2]), unescape(fields[3]))
            mounted.append((base, note))
        elif line and not line.startswith(b"envgit-mounts "):
            continue  # a line that was cut short, or one of a later version
    return Notes(tuple(mounted), frozenset(created))

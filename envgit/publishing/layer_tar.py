"""The difference of two trees as a layer of an image: a tar archive with whiteouts. The same trees give the same bytes.

Source: OCI image specification 1.1, layer.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from envgit.layers.edge import Descend, plan_directory, plan_forced
from envgit.layers.tar_header import BLOCK, HARD_LINK, TYPES, format_member
from envgit.model import Child, DirectoryRef, Entry, TreeReader

WHITEOUT: Final = b".wh."
_WHITEOUT_ENTRY: Final = Entry(b"", "f")
_END: Final = bytes(2 * BLOCK)
Write = Callable[[bytes], object]


class LayerContent(NamedTuple):
    """`entries`: members of the archive. `left_out`: paths that no image can have, because their names mean a deletion."""

    entries: int
    left_out: tuple[bytes, ...]


def write_layer(old: DirectoryRef | None, new: DirectoryRef, reader: TreeReader, write: Write) -> LayerContent:
    """Write what turns `old` (None: nothing) into `new`, in pieces of any size.

    Names come depth first in byte order, in each directory what is deleted first; a directory whose content changed comes with
    its attributes. Times have nanoseconds where there are some (PAX), extended attributes and ACLs are SCHILY.xattr records,
    holes are zeros, and the first name of a hard-link set in the archive has the content. A directory that replaces a file, and
    the reverse, needs no whiteout. Memory follows the depth of the tree. Raises CorruptObject.
    """
    return _LayerWriter(old, new, reader, write).run(old, new)


class _LayerWriter:
    def __init__(self, old: DirectoryRef | None, new: DirectoryRef, reader: TreeReader, write: Write) -> None:
        links = reader.read_links(new)
        self._reader = reader
        self._write = write
        self._forced = plan_forced(links, reader.read_links(old) if old is not None else ())
        self._sets = {path: paths for paths in links for path in paths}
        self._first: dict[tuple[bytes, ...], bytes] = {}
        self._entries = 0
        self._left_out: list[bytes] = []

    def run(self, old: DirectoryRef | None, new: DirectoryRef) -> LayerContent:
        stack = [self._enter(b"", new, old)]
        while stack:
            path, steps = stack[-1]
            step = next(steps, None)
            if step is None:
                stack.pop()
                continue
            name = step.name if isinstance(step, Descend) else step.entry.name
            if name.startswith(WHITEOUT):
                self._left_out.append(path + name)
            elif isinstance(step, Descend):
                stack.append(self._enter(path + name + b"/", step.target, step.base))
            else:
                self._put(path + name, step)
        self._write(_END)
        return LayerContent(self._entries, tuple(self._left_out))

    def _enter(
        self, path: bytes, target: DirectoryRef, base: DirectoryRef | None
    ) -> tuple[bytes, Iterator[Descend | Child]]:
        """Write the member of a directory and what is deleted in it; return its path and what else it needs."""
        directory = self._reader.read_directory(target)
        before = self._reader.read_directory(base) if base is not None else None
        self._member(path or b"./", directory.own, TYPES["d"])
        plan = plan_directory(path, directory, before, self._forced, devices=True)
        # Not the plan's whiteouts: those are of overlayfs layers, which have no devices.
        for name in sorted(before.children.keys() - directory.children.keys()) if before is not None else ():
            if not name.startswith(WHITEOUT):
                self._member(path + WHITEOUT + name, _WHITEOUT_ENTRY, TYPES["f"])
        steps: list[Descend | Child] = [*plan.writes, *plan.descend]
        return path, iter(sorted(steps, key=_name_of))

    def _put(self, path: bytes, child: Child) -> None:
        entry = child.entry
        names = self._sets.get(path)
        first = self._first.setdefault(names, path) if names is not None else path
        if first != path:
            self._member(path, entry._replace(type="f", size=0), HARD_LINK, first)
            return
        self._member(path, entry, TYPES[entry.type], entry.target)
        if entry.type == "f":
            for piece in self._reader.iter_content(child):
                self._write(piece)
            if padding := -entry.size % BLOCK:
                self._write(bytes(padding))

    def _member(self, name: bytes, entry: Entry, type_: bytes, link: bytes = b"") -> None:
        self._write(format_member(name, entry, type_, link, acls_as_text=False))
        self._entries += 1


def _name_of(step: Descend | Child) -> bytes:
    return step.name if isinstance(step, Descend) else step.entry.name

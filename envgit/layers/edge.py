"""What has to be written of a directory: all of it, or what turns a base into it by overlayfs rules. Pure."""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from envgit.model import Child, Directory, DirectoryRef, Links


class Descend(NamedTuple):
    """A sub-directory to write."""

    name: bytes
    target: DirectoryRef
    base: DirectoryRef | None
    """What it is merged with; None: it stands for itself."""
    opaque: bool


class DirectoryPlan(NamedTuple):
    writes: list[Child]
    """Files, links, FIFOs (and device nodes, if asked for)."""
    whiteouts: list[bytes]
    descend: list[Descend]
    devices: int
    """Device nodes that live only in the metadata."""


class Forced(NamedTuple):
    """Paths that an edge writes although their entry is unchanged, because their hard-link set is not; and
    every directory above one."""

    paths: Set[bytes]
    directories: Set[bytes]


NOTHING_FORCED = Forced(frozenset(), frozenset())


def plan_forced(target: Links, base: Links) -> Forced:
    """Return what an edge from `base` to `target` has to write for the sake of hard links."""
    if target == base:
        return NOTHING_FORCED
    paths = {path for names in set(target) ^ set(base) for path in names}
    directories: set[bytes] = set()
    for path in paths:
        above = path.rpartition(b"/")[0]
        while above and above not in directories:
            directories.add(above)
            above = above.rpartition(b"/")[0]
    return Forced(paths, directories)


def plan_directory(
    path: bytes, target: Directory, base: Directory | None, forced: Forced = NOTHING_FORCED, *, devices: bool = False
) -> DirectoryPlan:
    """Return what to write of the directory whose path, with a trailing slash unless it is the root, is `path`."""
    writes: list[Child] = []
    whiteouts: list[bytes] = []
    descend: list[Descend] = []
    left_out = 0
    old_children = base.children if base is not None else {}
    for name, child in target.children.items():
        entry = child.entry
        old = old_children.get(name)
        if entry.type == "d":
            ref = child.content
            assert isinstance(ref, DirectoryRef)
            if old is None or old.entry.type != "d":
                descend.append(Descend(name, ref, None, opaque=old is not None))
            elif old.entry.sha256 != entry.sha256 or path + name in forced.directories:
                assert isinstance(old.content, DirectoryRef)
                descend.append(Descend(name, ref, old.content, opaque=False))
        elif old is not None and old.entry == entry and path + name not in forced.paths:
            continue
        elif entry.type in "cb" and not devices:
            left_out += 1
            if old is not None and old.entry.type not in "cb":
                whiteouts.append(name)
        else:
            writes.append(child)
    for name, old in old_children.items():
        if name not in target.children and old.entry.type not in "cb":
            whiteouts.append(name)
    return DirectoryPlan(writes, whiteouts, descend, left_out)

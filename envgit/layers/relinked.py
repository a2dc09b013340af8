"""Which files have other hard links in one tree than in another, though both trees have them and their partners."""

from __future__ import annotations

from collections.abc import Mapping, Set

from envgit.light_typing import NamedTuple
from envgit.model import Child, DirectoryRef, Links, TreeReader


class Relinked(NamedTuple):
    paths: Mapping[bytes, tuple[tuple[bytes, ...], tuple[bytes, ...]]]
    """Path: its other names before, and after."""
    directories: Set[bytes]
    """Every directory above one of them, the root (b"") among them."""


NOTHING = Relinked({}, frozenset())


def find_relinked(old: DirectoryRef | None, new: DirectoryRef | None, reader: TreeReader) -> Relinked:
    """Compare the hard-link sets of two environments.

    A name that only one of the trees has says itself that a link was added or removed, so it does not count for the
    others. Costs reading both roots when the tables are equal. Raises what `reader` raises.
    """
    if old is None or new is None:
        return NOTHING
    if reader.read_directory(old).links_sha256 == reader.read_directory(new).links_sha256:
        return NOTHING
    old_links, new_links = set(reader.read_links(old)), set(reader.read_links(new))
    before, after = _by_path(old_links - new_links), _by_path(new_links - old_links)
    both = {
        path
        for path in before.keys() | after.keys()
        if (path in before or find_file(reader, old, path)) and (path in after or find_file(reader, new, path))
    }
    paths = {}
    for path in both:
        others = _others(path, before, both), _others(path, after, both)
        if others[0] != others[1]:
            paths[path] = others
    directories = set()
    for path in paths:
        while path and (path := path.rpartition(b"/")[0]) not in directories:
            directories.add(path)
    return Relinked(paths, directories)


def _by_path(sets: Set[tuple[bytes, ...]]) -> Mapping[bytes, tuple[bytes, ...]]:
    return {path: names for names in sets for path in names}


def _others(path: bytes, sets: Mapping[bytes, tuple[bytes, ...]], known: Set[bytes]) -> tuple[bytes, ...]:
    return tuple(name for name in sets.get(path, ()) if name != path and name in known)


def find_file(reader: TreeReader, root: DirectoryRef, path: bytes) -> Child | None:
    """Return what is not a directory at a path; None also where the way there is none. Follows no symbolic link."""
    ref = root
    *above, name = path.split(b"/")
    for part in above:
        child = reader.read_directory(ref).children.get(part)
        if child is None or not isinstance(child.content, DirectoryRef):
            return None
        ref = child.content
    found = reader.read_directory(ref).children.get(name)
    return found if found is not None and found.entry.type != "d" else None


def relink(links: Links, wanted: Links, restored: Set[bytes], unchanged: Set[bytes]) -> Links:
    """Return hard-link sets after `restored` paths became what they are in a tree whose sets are `wanted`.

    `unchanged`: paths that are in both trees with equal entries; a restored name joins them again. No other
    path gains or loses a link.
    """
    sets = [[path for path in names if path not in restored] for names in links]
    place = {path: names for names in sets for path in names}
    for names in wanted:
        back = [path for path in names if path in restored]
        partner = next((path for path in names if path in unchanged and path not in restored), None)
        if not back:
            continue
        if partner is None:
            sets.append(back)
        elif partner in place:
            place[partner].extend(back)
        else:
            sets.append([partner, *back])
            place[partner] = sets[-1]
    return tuple(sorted(tuple(sorted(names)) for names in sets if len(names) > 1))

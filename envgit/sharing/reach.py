"""Everything that commits and tags lead to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from envgit.store.object_store import MissingObject
from envgit.store.objects import decode_tree, parse_commit_links, parse_tag_target

_MODE_TREE = 0o040000
_MODE_COMMIT = 0o160000


class _Objects(Protocol):
    def read(self, oid: bytes) -> tuple[str, bytes]: ...
    def contains(self, oid: bytes) -> bool: ...


def find_reachable(objects: _Objects, tips: Iterable[bytes], *, cut: Iterable[bytes] = ()) -> set[bytes]:
    """Return every object that `tips` reach, these included; reads all but blobs, of which it asks whether they are there.

    `cut`: commits whose parents are not followed. Raises MissingObject for the first that is not there, CorruptObject.
    """
    found: set[bytes] = set()
    ends = frozenset(cut)
    todo = list(tips)
    while todo:
        oid = todo.pop()
        if oid in found:
            continue
        found.add(oid)
        type, data = objects.read(oid)
        if type == "commit":
            tree, parents, _ = parse_commit_links(data)
            todo.append(tree)
            if oid not in ends:
                todo.extend(parents)
        elif type == "tag":
            todo.append(parse_tag_target(data)[0])
        elif type == "tree":
            for mode, _, entry in decode_tree(data):
                if mode == _MODE_TREE:
                    todo.append(entry)
                elif entry not in found and mode != _MODE_COMMIT:
                    if not objects.contains(entry):
                        raise MissingObject(f"object {entry.hex()} is missing")
                    found.add(entry)
    return found

"""The line of commits that an image is made of."""

from __future__ import annotations

from typing import Protocol

from envgit.snapshot import Snapshot, read_snapshot


class _Objects(Protocol):
    def read(self, oid: bytes) -> tuple[str, bytes]: ...
    def shallow(self) -> frozenset[bytes]: ...


def read_line(objects: _Objects, oid: bytes) -> list[Snapshot]:
    """Return a commit and those it came from, oldest first.

    At a merge the line goes on with the first parent that has the very files of the merge, else with the first parent: as in
    git's history simplification. So a build or an image that landed as a merge is the steps and layers that made it, and
    not the difference from what was there before. Where history is cut short, it begins. Raises CorruptObject.
    """
    line = [read_snapshot(objects, oid)]
    cut = objects.shallow()
    while (newest := line[-1]).commit.parents and newest.oid not in cut:
        first = read_snapshot(objects, newest.commit.parents[0])
        found = first
        if first.root.sha256 != newest.root.sha256:
            others = (read_snapshot(objects, parent) for parent in newest.commit.parents[1:])
            found = next((other for other in others if other.root.sha256 == newest.root.sha256), first)
        line.append(found)
    return line[::-1]

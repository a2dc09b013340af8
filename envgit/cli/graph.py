"""The commit graph beside a log, drawn as `git log --graph` draws it.

A lane is a column that waits for one commit. Every commit gives one row with a `*`, then the rows that lead from the
lanes before it to the lanes after it: first its further parents open lanes to the right (`\\`), then lanes that
wait for the same commit run together to the left (`/`), passing through what is between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class GraphRows(NamedTuple):
    """What to draw beside one commit; every row has the same width."""

    commit: str
    """Beside its first line."""
    links: tuple[str, ...]
    """Beside the lines after it; all are drawn, even when the text is shorter."""
    padding: str
    """Beside every further line."""
    gap: str | None = None
    """A row to draw before the commit: it would seem to be the parent of a first commit right above it."""


class Graph:
    """Draws commits given children first (topological order)."""

    def __init__(self) -> None:
        self._lanes: list[str | None] = []
        self._ended_at: int | None = None

    def add(self, oid: str, parents: Sequence[str]) -> GraphRows:
        """Return the rows for a commit; `parents` are those that the log shows."""
        lanes = self._lanes
        gap = None
        if oid not in lanes:
            gap = "| " * len(lanes) if self._ended_at == len(lanes) else None
            lanes.append(oid)
        at = lanes.index(oid)
        self._ended_at = None if parents else at
        commit = "".join("* " if index == at else "| " for index in range(len(lanes)))
        links: list[str] = []
        wanted = list(dict.fromkeys(parents))
        lanes[at] = wanted[0] if wanted else None
        for offset, parent in enumerate(wanted[1:]):
            links.append(self._open_lane(at + offset, parent, last=offset == len(wanted) - 2))
        links += self._run_together()
        padding = "| " * len(self._lanes)
        width = max(len(commit), len(padding), *(len(row) for row in links), 0)
        rows = tuple(row.ljust(width) for row in links)
        return GraphRows(commit.ljust(width), rows, padding.ljust(width), gap)

    def _open_lane(self, at: int, parent: str, *, last: bool) -> str:
        """Lead from lane `at` to a lane of `parent` right of it: the next one when it waits for `parent` already and
        nothing more leads on from it, else a new one."""
        lanes = self._lanes
        before = "| " * at + "|\\"
        if last and at + 1 < len(lanes) and lanes[at + 1] == parent:
            return before + "| " * (len(lanes) - at - 1)
        moved = "".join(" \\" for _ in lanes[at + 1 :])
        lanes.insert(at + 1, parent)
        return before + moved

    def _run_together(self) -> list[str]:
        """Move lanes left until each commit is waited for once and no lane is empty; return the rows of that."""
        final = [lane for lane in dict.fromkeys(self._lanes) if lane is not None]
        goal = {lane: index for index, lane in enumerate(final)}
        edges = {(index, lane) for index, lane in enumerate(self._lanes) if lane is not None}
        rows: list[str] = []
        while any(index != goal[lane] for index, lane in edges):
            row = [" "] * (2 * max(index for index, _ in edges) + 1)
            moved: set[tuple[int, str]] = set()
            for index, lane in edges:
                if index > goal[lane]:
                    row[2 * index - 1] = "/"
                    moved.add((index - 1, lane))
                else:
                    row[2 * index] = "|"
                    moved.add((index, lane))
            edges = moved
            rows.append("".join(row).rstrip())
        self._lanes = list(final)
        return rows

"""Commits written one after another, with a graph and changes when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from .commit_text import TextOptions, commit_lines
from .diff_options import DiffOptions
from .graph import Graph, GraphRows
from .screen import Screen

if TYPE_CHECKING:
    from envgit.diff import Diff
    from envgit.log import LogEntry


class _Gutter:
    """What is drawn before each line of one commit."""

    def __init__(self, rows: GraphRows | None) -> None:
        self._first: str | None = rows.commit if rows else None
        self._links: Iterator[str] = iter(rows.links if rows else ())
        self._padding = rows.padding if rows else ""
        self.width = len(rows.commit) if rows else 0

    def next(self) -> str:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return next(self._links, self._padding)

    def rest(self) -> Iterator[str]:
        """Yield what must still be drawn below the text."""
        return self._links


def write_log(
    entries: Iterable[LogEntry],
    options: TextOptions,
    changes: Callable[[LogEntry], Diff] | None,
    diff_options: DiffOptions,
    screen: Screen,
    *,
    graph: bool,
    nul: bool = False,
) -> None:
    """Write the commits; `changes` gives a commit's diff when it is to be shown."""
    if graph:
        entries = _known_parents_only(list(entries))
    drawer = Graph() if graph else None
    compact = options.format in ("oneline", "reference") or options.format.startswith("tformat:")
    separated = options.format.startswith("format:")
    first = True
    before: _Gutter | None = None
    for entry in entries:
        rows = drawer.add(entry.oid, entry.parents) if drawer else None
        gutter = _Gutter(rows)
        if not first and (separated or not compact):
            _separate(screen, before, nul, separated)
        if before is not None:
            for row in before.rest():
                screen.line(row)
        if rows and rows.gap is not None and compact:
            screen.line(rows.gap)
        _write_entry(entry, options, changes, diff_options, screen, gutter, nul and compact, last_newline=not separated)
        first, before = False, gutter
    if before is not None:
        for row in before.rest():
            screen.line(row)


def _separate(screen: Screen, before: _Gutter | None, nul: bool, separated: bool) -> None:
    if separated:
        screen.write("\0" if nul else "\n")
    elif nul:
        screen.write("\0")
    else:
        screen.line(before.next() if before else "")


def _write_entry(
    entry: LogEntry,
    options: TextOptions,
    changes: Callable[[LogEntry], Diff] | None,
    diff_options: DiffOptions,
    screen: Screen,
    gutter: _Gutter,
    nul: bool,
    *,
    last_newline: bool,
) -> None:
    def line(text: str) -> None:
        screen.line(gutter.next() + text)

    screen.write("\n".join(gutter.next() + text for text in commit_lines(entry, options, screen)))
    if nul:
        screen.write("\0")
    elif last_newline or changes:
        screen.write("\n")
    if changes is None:
        return
    from .diff_output import write_diff

    diff = changes(entry)
    if options.format not in ("oneline", "reference"):
        line("---" if diff_options.patch and diff_options.stat else "")
    write_diff(
        diff.changes, diff.reader, diff_options, screen, write_line=line, width=max(40, screen.width - gutter.width)
    )


def _known_parents_only(entries: list[LogEntry]) -> list[LogEntry]:
    """Drop parents that are not shown, so that no lane waits for them."""
    shown = {entry.oid for entry in entries}
    return [entry._replace(parents=tuple(parent for parent in entry.parents if parent in shown)) for entry in entries]

"""How much changed, per path and in all: --stat, --numstat, --shortstat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from envgit.model import Change, TreeReader

from .changes import display_path
from .escape import human_bytes
from .file_content import read_sides
from .line_diff import find_edits
from .screen import Screen

PATHS_COUNTED: Final = 100
"""More changes than these are summed up by size: counting the lines of a whole distribution would take long."""


class PathStat(NamedTuple):
    """`inserted` and `deleted` count lines; None for both where only sizes are known."""

    path: bytes
    inserted: int | None
    deleted: int | None
    old_size: int
    new_size: int


class Totals(NamedTuple):
    paths: int
    inserted: int
    deleted: int
    uncounted: int
    uncounted_bytes: int


def measure(change: Change, reader: TreeReader, *, text: bool = False) -> PathStat:
    """Count one change's lines."""
    sides = read_sides(change, reader, text=text)
    path = display_path(change)
    if sides.old is None or sides.new is None:
        return PathStat(path, None, None, sides.old_size, sides.new_size)
    edits = find_edits(sides.old, sides.new)
    inserted = sum(edit.new_to - edit.new_from for edit in edits)
    deleted = sum(edit.old_to - edit.old_from for edit in edits)
    return PathStat(path, inserted, deleted, sides.old_size, sides.new_size)


def measure_all(
    changes: Iterable[Change], reader: TreeReader, *, most: int, text: bool = False
) -> tuple[list[PathStat], Totals]:
    """Count the first `most` changes (0: all) line by line and the rest by size."""
    stats: list[PathStat] = []
    uncounted = uncounted_bytes = 0
    for change in changes:
        if most and len(stats) >= most:
            uncounted += 1
            uncounted_bytes += _size(change, new=True) - _size(change, new=False)
        else:
            stats.append(measure(change, reader, text=text))
    inserted = sum(stat.inserted or 0 for stat in stats)
    deleted = sum(stat.deleted or 0 for stat in stats)
    return stats, Totals(len(stats) + uncounted, inserted, deleted, uncounted, uncounted_bytes)


def _size(change: Change, *, new: bool) -> int:
    child = change.new if new else change.old
    return child.entry.size if child is not None else 0


def stat_lines(stats: list[PathStat], totals: Totals, screen: Screen, width: int) -> Iterator[str]:
    """Yield `--stat` as git lays it out, with the summary line."""
    if not totals.paths:
        return
    names = [screen.path(stat.path) for stat in stats]
    most = max(((stat.inserted or 0) + (stat.deleted or 0) for stat in stats), default=0)
    binary = [stat for stat in stats if stat.inserted is None]
    number_width = max(len(str(most)), 3 if binary else 0)
    name_width = max(len(name) for name in names)
    graph_width = max(most, *(10 + len(f"{stat.old_size}{stat.new_size}") for stat in binary), 0)
    width = max(width, 16 + 6 + number_width)
    if name_width + number_width + 6 + graph_width > width:
        graph_width = min(graph_width, max(6, width * 3 // 8 - number_width - 6))
        if name_width > width - number_width - 6 - graph_width:
            name_width = width - number_width - 6 - graph_width
        else:
            graph_width = width - number_width - 6 - name_width
    for name, stat in zip(names, stats, strict=True):
        yield _stat_line(_shorten(name, name_width), stat, screen, name_width, number_width, graph_width, most)
    if totals.uncounted:
        yield " ..."
    yield shortstat_line(totals)


def _stat_line(
    name: str, stat: PathStat, screen: Screen, name_width: int, number_width: int, graph_width: int, most: int
) -> str:
    if stat.inserted is None or stat.deleted is None:
        sizes = f"{stat.old_size} -> {stat.new_size} bytes"
        return f" {name:<{name_width}} | {'Bin':>{number_width}} {sizes}"
    changed = stat.inserted + stat.deleted
    plus, minus = stat.inserted, stat.deleted
    if most > graph_width:
        plus, minus = _scale(plus, minus, graph_width, most)
    bar = screen.paint("green", "+" * plus) + screen.paint("red", "-" * minus)
    return f" {name:<{name_width}} | {changed:>{number_width}}" + (f" {bar}" if bar else "")


def _scale(plus: int, minus: int, width: int, most: int) -> tuple[int, int]:
    """Scale a bar so that `most` fills `width`; what is not nothing keeps a mark."""

    def scaled(count: int) -> int:
        return 1 + count * (width - 1) // most if count else 0

    total = scaled(plus + minus)
    if total < 2 and plus and minus:
        total = 2
    if plus < minus:
        short = scaled(plus)
        return short, total - short
    short = scaled(minus)
    return total - short, short


def _shorten(name: str, width: int) -> str:
    if len(name) <= width:
        return name
    kept = name[len(name) - width + 3 :]
    slash = kept.find("/")
    return "..." + (kept[slash:] if slash > 0 else kept)


def shortstat_line(totals: Totals) -> str:
    """Return ` 2 files changed, 3 insertions(+), 1 deletion(-)`."""
    parts = [f" {totals.paths} file{'s' * (totals.paths != 1)} changed"]
    if totals.inserted or not (totals.deleted or totals.uncounted):
        parts.append(f"{totals.inserted} insertion{'s' * (totals.inserted != 1)}(+)")
    if totals.deleted or not (totals.inserted or totals.uncounted):
        parts.append(f"{totals.deleted} deletion{'s' * (totals.deleted != 1)}(-)")
    if totals.uncounted:
        sign = "-" if totals.uncounted_bytes < 0 else "+"
        parts.append(f"and {sign}{human_bytes(abs(totals.uncounted_bytes))} in {totals.uncounted} files more")
    return ", ".join(parts)


def numstat_line(stat: PathStat, screen: Screen) -> str:
    """Return `INSERTED<tab>DELETED<tab>PATH`; `-` where there are no lines."""
    inserted, deleted = ("-", "-") if stat.inserted is None else (str(stat.inserted), str(stat.deleted))
    return f"{inserted}\t{deleted}\t{screen.path(stat.path)}"

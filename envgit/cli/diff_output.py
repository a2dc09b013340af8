"""Changes written in the forms that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from envgit.model import Change, TreeReader

from .changes import display_path, fold_directories, letter
from .diff_options import DiffOptions
from .diffstat import measure, measure_all, numstat_line, shortstat_line, stat_lines
from .patch import patch_lines
from .screen import Screen


def write_diff(
    changes: Iterable[Change],
    reader: TreeReader,
    options: DiffOptions,
    screen: Screen,
    *,
    write_line: Callable[[str], None] | None = None,
    width: int | None = None,
) -> bool:
    """Write the changes; return whether there were any. `write_line` puts something before each line (a graph)."""
    line = write_line or screen.line
    several = sum((options.stat, options.numstat, options.shortstat, options.patch)) > 1
    shown: Iterable[Change] = fold_directories(changes)
    if several:
        shown = list(shown)
    if options.name_only or options.name_status:
        return _write_names(shown, options, screen, line)
    found = False
    if options.numstat:
        for change in shown:
            found = True
            _write_numstat(change, reader, options, screen, line)
    if options.stat or options.shortstat:
        stats, totals = measure_all(shown, reader, most=options.stat_count, text=options.text)
        found = totals.paths > 0
        if options.stat:
            for text in stat_lines(stats, totals, screen, width or screen.width):
                line(text)
        elif found:
            line(shortstat_line(totals))
        if found and options.patch:
            line("")
    if options.patch or not options.chosen():
        for change in shown:
            found = True
            for text in patch_lines(
                change, reader, screen, context=options.context, text=options.text, with_mtime=options.mtime
            ):
                line(text)
    return found


def _write_names(changes: Iterable[Change], options: DiffOptions, screen: Screen, line: Callable[[str], None]) -> bool:
    found = False
    for change in changes:
        found = True
        path = display_path(change)
        if options.nul:
            status = letter(change).encode("ascii") + b"\0" if options.name_status else b""
            screen.write_bytes(status + path + b"\0")
        else:
            line(f"{letter(change)}\t{screen.path(path)}" if options.name_status else screen.path(path))
    return found


def _write_numstat(
    change: Change, reader: TreeReader, options: DiffOptions, screen: Screen, line: Callable[[str], None]
) -> None:
    stat = measure(change, reader, text=options.text)
    if options.nul:
        counts = ("-", "-") if stat.inserted is None else (str(stat.inserted), str(stat.deleted))
        screen.write_bytes("\t".join(counts).encode("ascii") + b"\t" + stat.path + b"\0")
    else:
        line(numstat_line(stat, screen))

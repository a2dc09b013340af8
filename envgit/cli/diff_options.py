"""The options that say how changes are shown, shared by diff, log and show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from envgit.errors import UsageError

from .diffstat import PATHS_COUNTED

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class DiffOptions(NamedTuple):
    """What to show of changes. Nothing chosen means the patch for `diff` and `show`, nothing for `log`."""

    patch: bool = False
    stat: bool = False
    numstat: bool = False
    shortstat: bool = False
    name_only: bool = False
    name_status: bool = False
    nul: bool = False
    context: int = 3
    text: bool = False
    mtime: bool = False
    stat_count: int = PATHS_COUNTED

    def chosen(self) -> bool:
        """Whether any form was asked for."""
        return self.patch or self.stat or self.numstat or self.shortstat or self.name_only or self.name_status


_OPTIONS = (
    click.option("-p", "-u", "--patch", is_flag=True, help="Show the changes as a patch."),
    click.option("--stat", is_flag=True, help="Show how many lines changed in each file."),
    click.option("--numstat", is_flag=True, help="The same for scripts: inserted, deleted, path."),
    click.option("--shortstat", is_flag=True, help="Show the last line of --stat only."),
    click.option("--name-only", is_flag=True, help="Show the names of changed paths."),
    click.option("--name-status", is_flag=True, help="Show names and what happened: A, D, M, T."),
    click.option("-z", "nul", is_flag=True, help="End names with NUL and quote nothing."),
    click.option("-U", "--unified", "context", metavar="N", type=click.IntRange(min=0), help="N lines of context (3)."),
    click.option("-a", "--text", is_flag=True, help="Treat every file as text."),
    click.option("--mtime", is_flag=True, help="Times of modification count as changes."),
    click.option(
        "--stat-count",
        metavar="N",
        type=click.IntRange(min=0),
        default=PATHS_COUNTED,
        help=f"--stat counts the lines of N files ({PATHS_COUNTED}); 0: of all.",
    ),
)


def diff_options(command: Decorated) -> Decorated:
    """Add the options to a verb; it gets them as keywords for `take_diff_options`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def take_diff_options(keywords: dict[str, Any]) -> DiffOptions:
    """Move the options out of a verb's keywords. Raises UsageError when they contradict each other."""
    context = keywords.pop("context")
    options = DiffOptions(
        **{name: keywords.pop(name) for name in DiffOptions._fields if name in keywords},
        context=3 if context is None else context,
    )
    if context is not None:
        options = options._replace(patch=True)
    if options.name_only and options.name_status:
        raise UsageError("--name-only and --name-status cannot be used together")
    if options.nul and not (options.name_only or options.name_status or options.numstat):
        raise UsageError("-z needs --name-only, --name-status or --numstat")
    return options

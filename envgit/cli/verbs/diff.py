"""envgit diff."""

from __future__ import annotations

from typing import Any

import click

from envgit.errors import UsageError

from ..command import json_option, revisions_and_paths, verb
from ..completing import complete_revision
from ..diff_options import DiffOptions, diff_options, take_diff_options
from ..session import Session


@verb("diff")
@click.argument("words", nargs=-1, metavar="[REV [REV]] [-- PATH...]", shell_complete=complete_revision)
@diff_options
@click.option("--packages", "by_package", is_flag=True, help="Show which packages were added, removed or changed.")
@click.option("-R", "reverse", is_flag=True, help="Swap the two sides.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when there are changes.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; implies --exit-code.")
@json_option
@click.pass_context
def diff_command(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    by_package: bool,
    reverse: bool,
    exit_code: bool,
    quiet: bool,
    as_json: bool,
    **keywords: Any,
) -> int:
    """Show changes: since the last commit, since REV, or between two revisions (also A..B and A...B).

    Content and properties count; times of modification only with --mtime. A word before `--` is a revision unless it
    begins with `/`; words after it are paths.
    """
    session: Session = ctx.obj
    options = take_diff_options(keywords)
    revisions, paths = revisions_and_paths(ctx, words, most=2)
    if by_package:
        if paths or options != DiffOptions():
            raise UsageError(
                "--packages goes with revisions, -R, --json, --quiet and --exit-code only",
                hint="envgit diff --packages A B",
            )
        found = _show_packages(session, revisions, reverse, quiet, as_json)
        return 1 if found and (exit_code or quiet) else session.status_of_warnings()
    found = _show(session, revisions, paths, options, reverse, quiet, as_json)
    return 1 if found and (exit_code or quiet) else 0


def _show_packages(session: Session, revisions: tuple[str, ...], reverse: bool, quiet: bool, as_json: bool) -> bool:
    from envgit.package_diff import diff_packages

    from ..package_text import change_lines, warn_of, write_changes_json

    diff = diff_packages(session.repo, revisions, reverse=reverse)
    if as_json and not quiet:
        write_changes_json(session.out, diff.changes)
    elif not quiet:
        with session.paged() as out:
            for line in change_lines(diff.changes, out):
                out.line(line)
    if not quiet:
        warn_of(session, diff.notices)
    return bool(diff.changes)


def _show(
    session: Session,
    revisions: tuple[str, ...],
    paths: tuple[bytes, ...],
    options: DiffOptions,
    reverse: bool,
    quiet: bool,
    as_json: bool,
) -> bool:
    from envgit.diff import open_diff

    diff = open_diff(session.repo, revisions, paths, with_mtime=options.mtime, reverse=reverse)
    if quiet:
        return next(iter(diff.changes), None) is not None
    if as_json:
        from ..json_output import change_fields, write_json

        changes = [change_fields(change) for change in diff.changes]
        write_json(session.out, {"changes": changes})
        return bool(changes)
    from ..diff_output import write_diff

    with session.paged() as out:
        return write_diff(diff.changes, diff.reader, options, out)

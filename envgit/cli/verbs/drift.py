"""envgit drift."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import json_option, refuse_words_after_dashes, verb
from ..session import Session


@verb("drift")
@click.argument("name", required=False, metavar="[NAME]", default="")
@click.option("-f", "--file", metavar="FILE", help="The envgit.toml.")
@click.option("--diff", "as_diff", is_flag=True, help="Print a change of the file that says what it does not.")
@json_option
@click.pass_context
def drift_command(ctx: click.Context, name: str, file: str | None, as_diff: bool, as_json: bool) -> int:
    """Show what the environment has that its declaration does not say.

    The worktree, with its uncommitted changes, is compared with the last build of the declaration: packages that were installed
    or removed by hand, files, configuration. Caches, logs and files of packages are only counted.

    Exit status: 0 when there is no drift, 1 when there is.
    """
    from envgit.building.loading import BuildRequest
    from envgit.drift import find_drift

    from ..drift_text import diff_lines, drift_fields, drift_lines, saved_hints

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if as_diff and as_json:
        raise UsageError("--diff and --json exclude each other", hint="envgit drift --json has the edits, too")
    drift = find_drift(session.repo, BuildRequest(file=file, name=name))
    if as_json:
        from ..json_output import write_json

        write_json(session.out, drift_fields(drift))
    else:
        for line in diff_lines(drift, session.out) if as_diff else drift_lines(drift, session.out):
            session.out.line(line)
    for notice in drift.notices:
        session.monitor.warn(notice)
    if drift.items and not as_json:
        for hint in saved_hints(drift) if as_diff else ["envgit drift --diff prints it as a change of the file"]:
            session.say(f"hint: {hint}")
    return 1 if drift.items else session.status_of_warnings()

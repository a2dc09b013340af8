"""envgit ps."""

from __future__ import annotations

import time

import click

from ..command import json_option, refuse_words_after_dashes, verb
from ..session import Session


@verb("ps")
@click.option("-a", "--all", "everything", is_flag=True, help="Those that do not run as well.")
@click.option("-q", "--quiet", is_flag=True, help="Print ids only.")
@click.option(
    "-f",
    "--filter",
    "filters",
    metavar="KEY=VALUE",
    multiple=True,
    help="Only those with this name=, id=, status=, label=, revision= or exited=.",
)
@click.option("--no-trunc", is_flag=True, help="Show whole commands.")
@json_option
@click.pass_context
def ps_command(
    ctx: click.Context, everything: bool, quiet: bool, filters: tuple[str, ...], no_trunc: bool, as_json: bool
) -> None:
    """List recorded sandboxes: those that run, or all of them.

    Recorded are those started with -d or --name. REVISION in parentheses is a worktree.
    """
    from envgit.sandbox.listing import parse_filters, read_sandboxes

    from ..sandbox_text import HEADINGS, json_fields, row, table

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    found = read_sandboxes(session.repo, everything=everything, filters=parse_filters(filters))
    if as_json:
        from ..json_output import write_json

        write_json(session.out, {"sandboxes": [json_fields(each) for each in found]})
    elif quiet:
        session.out.write("".join(f"{each.id}\n" for each in found))
    else:
        now = time.time_ns()
        for line in table(HEADINGS, (row(each, session.out, now, whole=no_trunc) for each in found)):
            session.out.line(line)

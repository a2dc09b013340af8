"""envgit restore."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import quiet_option, verb, words_after_dashes
from ..completing import complete_revision
from ..restoring import restore_and_say
from ..session import Session


@verb("restore")
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option(
    "-s", "--source", metavar="REV", shell_complete=complete_revision, help="Where from; HEAD when not given."
)
@quiet_option
@click.pass_context
def restore_command(ctx: click.Context, paths: tuple[str, ...], source: str | None, quiet: bool) -> None:
    """Take PATHs of the environment back from a revision.

    A path is relative to the root of the environment, with or without the leading slash; `/` or `.` is everything.
    """
    session: Session = ctx.obj
    wanted = (*paths, *(words_after_dashes(ctx) or ()))
    if not wanted:
        raise UsageError("which paths?", hint="envgit restore etc/motd; everything: envgit restore /")
    restore_and_say(session, wanted, source, quiet=quiet)

"""envgit cat."""

from __future__ import annotations

import click

from ..command import verb, words_after_dashes
from ..completing import complete_revision
from ..session import Session


@verb("cat")
@click.argument("specs", nargs=-1, metavar="REV:PATH | PATH...", shell_complete=complete_revision)
@click.pass_context
def cat_command(ctx: click.Context, specs: tuple[str, ...]) -> None:
    """Print files: REV:PATH as a revision has it, PATH as it is now, uncommitted changes included."""
    from envgit.cat import iter_file
    from envgit.errors import UsageError

    session: Session = ctx.obj
    wanted = (*specs, *(words_after_dashes(ctx) or ()))
    if not wanted:
        raise UsageError("which file?", hint="envgit cat HEAD:etc/os-release, or envgit cat /etc/os-release")
    out = session.out
    for spec in wanted:
        for piece in iter_file(session.repo, spec):
            if out.terminal:
                out.write(out.safe(piece.decode("utf-8", "replace")))
            else:
                out.write_bytes(piece)

"""envgit undo."""

from __future__ import annotations

import click

from ..command import quiet_option, refuse_words_after_dashes, verb
from ..operation_text import ref_line
from ..session import Session


@verb("undo")
@click.argument("operation", type=click.IntRange(min=1), required=False, metavar="[OPERATION]")
@quiet_option
@click.pass_context
def undo_command(ctx: click.Context, operation: int | None, quiet: bool) -> None:
    """Take back the last operation, or the one with the number OPERATION (see `envgit op log`).

    Undoing is an operation too: undo again to redo.
    """
    from envgit.undo import undo

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    result = undo(session.repo, operation)
    if quiet:
        return
    out = session.out
    out.line(f"Undid operation {result.undone}: {out.safe(result.command)}")
    for name, old, new in result.refs:
        out.line(f"    {ref_line(out, name, old, new)}")
    if result.command.split(" ", 1)[0] == "push":
        session.say(
            "warning: only what is known here was taken back: the other side still has what was pushed; to change that: "
            "envgit push --delete REMOTE BRANCH, or envgit push --force-with-lease REMOTE OLD:BRANCH"
        )
    head = result.head
    out.line(f"On {out.safe(head[:7] if len(head) == 40 else f'branch {head}')}")
    session.say("hint: to redo: envgit undo")

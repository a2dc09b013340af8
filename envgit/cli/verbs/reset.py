"""envgit reset."""

from __future__ import annotations

from typing import Literal, cast

import click

from envgit.errors import UsageError

from ..command import dry_run_option, quiet_option, verb, words_after_dashes
from ..completing import complete_revision
from ..escape import count_of
from ..session import Session


@verb("reset")
@click.argument("revision", default="HEAD", metavar="[REV]", shell_complete=complete_revision)
@click.option("--soft", "mode", flag_value="soft", help="Move the branch only; the environment stays as it is.")
@click.option("--mixed", "mode", flag_value="mixed", default="mixed", help="The same (default): there is no index.")
@click.option("--hard", "mode", flag_value="hard", help="Drop uncommitted changes too.")
@dry_run_option
@quiet_option
@click.pass_context
def reset_command(ctx: click.Context, revision: str, mode: str, dry_run: bool, quiet: bool) -> None:
    """Move the current branch to REV (HEAD by default).

    What --hard drops is kept until gc: `envgit undo` brings it back.
    """
    from envgit.reset import reset

    session: Session = ctx.obj
    if words_after_dashes(ctx):
        raise UsageError("reset moves a branch, not paths", hint="to take paths back: envgit restore [-s REV] PATH...")
    result = reset(session.repo, revision, cast('Literal["soft", "mixed", "hard"]', mode), dry_run)
    if quiet and not dry_run:
        return
    out = session.out
    where = out.safe(result.branch) if result.branch else "HEAD"
    at = f"{out.paint('yellow', result.new_oid[:7])} {out.safe(result.subject)}"
    out.line(f"would move {where} to {at}" if dry_run else f"HEAD is now at {at}")
    if result.discarded:
        dropped = "would be dropped" if dry_run else "dropped"
        out.line(f"{count_of(result.discarded, 'uncommitted change')} {dropped}")
    if result.kept:
        out.line(f"{count_of(result.kept, 'uncommitted change')} kept (envgit status)")
    session.hint_undo(result.operation)

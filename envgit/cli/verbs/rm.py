"""envgit rm, prune and rename."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import refuse_words_after_dashes, verb
from ..each_sandbox import complete_sandbox, for_each, names_argument
from ..escape import count_of
from ..session import Session


@verb("rm")
@names_argument()
@click.option("-f", "--force", is_flag=True, help="Kill those that run.")
@click.option("-v", "--volumes", is_flag=True, help="With their anonymous volumes.")
@click.pass_context
def rm_command(ctx: click.Context, names: tuple[str, ...], force: bool, volumes: bool) -> int:
    """Remove sandboxes, with what they changed and their logs. A worktree keeps what was changed in it."""
    from envgit.sandbox.removing import remove_sandbox

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)

    def remove(word: str) -> str:
        remove_sandbox(session.repo, word, force=force, with_volumes=volumes)
        return word

    return for_each(session, names, remove)


@verb("prune")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def prune_command(ctx: click.Context, yes: bool) -> int | None:
    """Remove every sandbox that does not run, with what it changed and its log."""
    from envgit.sandbox.listing import read_sandboxes
    from envgit.sandbox.removing import prune_sandboxes

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    doomed = [
        found for found in read_sandboxes(session.repo, everything=True) if not found.monitor and not found.damage
    ]
    if not doomed:
        session.out.line("no sandbox to remove")
        return None
    if not yes:
        if not session.stdin_is_terminal:
            raise UsageError(
                f"this would remove {count_of(len(doomed), 'sandbox', 'sandboxes')}", hint="envgit prune --yes"
            )
        for found in doomed:
            session.say(session.out.safe(f"  {found.id}  {found.name}"))
        if not click.confirm(f"Remove {count_of(len(doomed), 'sandbox', 'sandboxes')}?", err=True):
            return 1
    for found in prune_sandboxes(session.repo):
        session.out.line(session.out.safe(found.name))
    return None


@verb("rename")
@click.argument("name", shell_complete=complete_sandbox)
@click.argument("new")
@click.pass_context
def rename_command(ctx: click.Context, name: str, new: str) -> None:
    """Give a sandbox another name, running or not."""
    from envgit.sandbox.renaming import rename_sandbox

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    rename_sandbox(session.repo, name, new)

"""envgit start and restart."""

from __future__ import annotations

import click

from ..command import refuse_words_after_dashes, verb
from ..each_sandbox import for_each, names_argument
from ..session import Session


@verb("start")
@names_argument()
@click.pass_context
def start_command(ctx: click.Context, names: tuple[str, ...]) -> int:
    """Run sandboxes again that have ended, in the background, with what they changed before."""
    from envgit.sandbox.detached import start_sandbox

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)

    def start(word: str) -> str:
        start_sandbox(session.repo, word)
        return word

    return for_each(session, names, start)


@verb("restart")
@names_argument()
@click.option(
    "-t", "--time", "seconds", type=float, metavar="SECONDS", help="Before it is killed; 10 by default, -1: never."
)
@click.pass_context
def restart_command(ctx: click.Context, names: tuple[str, ...], seconds: float | None) -> int:
    """Stop sandboxes and start them again."""
    from envgit.sandbox.detached import start_sandbox
    from envgit.sandbox.stopping import stop_sandbox

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)

    def restart(word: str) -> str:
        stop_sandbox(session.repo, word, seconds=seconds)
        start_sandbox(session.repo, word)
        return word

    return for_each(session, names, restart)

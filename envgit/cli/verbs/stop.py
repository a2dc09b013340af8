"""envgit stop, kill, wait, pause and unpause."""

from __future__ import annotations

import click

from ..command import refuse_words_after_dashes, verb
from ..each_sandbox import for_each, names_argument
from ..session import Session


@verb("stop")
@names_argument()
@click.option(
    "-t", "--time", "seconds", type=float, metavar="SECONDS", help="Before it is killed; 10 by default, -1: never."
)
@click.option("-s", "--signal", "name", metavar="SIGNAL", help="Instead of its stop signal.")
@click.pass_context
def stop_command(ctx: click.Context, names: tuple[str, ...], seconds: float | None, name: str | None) -> int:
    """End sandboxes for good: SIGTERM or their stop signal, then SIGKILL. No restart policy revives them.

    A program that does not handle the signal ends at once. What a sandbox changed stays; envgit start runs it again.
    """
    from envgit.sandbox.stop_signal import parse_signal
    from envgit.sandbox.stopping import stop_sandbox

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    number = parse_signal(name) if name else None

    def stop(word: str) -> str:
        stop_sandbox(session.repo, word, seconds=seconds, number=number)
        return word

    return for_each(session, names, stop)


@verb("kill")
@names_argument()
@click.option("-s", "--signal", "name", metavar="SIGNAL", default="KILL", show_default=True, help="By name or number.")
@click.pass_context
def kill_command(ctx: click.Context, names: tuple[str, ...], name: str) -> int:
    """Send a signal to the first program of sandboxes.

    After KILL and the stop signal they stay ended; after others their restart policy applies.
    """
    from envgit.sandbox.stop_signal import parse_signal
    from envgit.sandbox.stopping import signal_sandbox

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    number = parse_signal(name)

    def kill(word: str) -> str:
        signal_sandbox(session.repo, word, number)
        return word

    return for_each(session, names, kill)


@verb("wait")
@names_argument()
@click.pass_context
def wait_command(ctx: click.Context, names: tuple[str, ...]) -> int:
    """Wait until sandboxes have ended for good; print the exit status of each."""
    from envgit.sandbox.stopping import wait_for

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    return for_each(session, names, lambda word: str(wait_for(session.repo, word)))

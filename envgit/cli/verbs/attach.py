"""envgit attach."""

from __future__ import annotations

import click

from ..command import refuse_words_after_dashes, verb
from ..each_sandbox import complete_sandbox
from ..session import Session


@verb("attach")
@click.argument("name", shell_complete=complete_sandbox)
@click.option(
    "--detach-keys", metavar="KEYS", default="ctrl-p,ctrl-q", show_default=True, help="Keys that leave it running."
)
@click.option("--no-stdin", is_flag=True, help="Only look.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on (default).")
@click.pass_context
def attach_command(ctx: click.Context, name: str, detach_keys: str, no_stdin: bool, sig_proxy: bool) -> int:
    """Attach standard input, output and error to a running sandbox, from now on; envgit logs has what was before.

    The exit status is that of its program. Several may be attached at once.
    """
    from envgit.sandbox.attaching import attach_sandbox

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    session.runs_program = True
    ending = attach_sandbox(session.repo, name, keys=detach_keys, with_input=not no_stdin, pass_signals=sig_proxy)
    if ending.detached:
        session.say(f"\r\ndetached: envgit attach {name} comes back to it")
    return ending.status

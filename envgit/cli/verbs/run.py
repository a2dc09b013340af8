"""envgit run and shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from envgit.errors import UsageError

from ..command import verb, words_after_dashes
from ..completing import complete_revision
from ..run_options import parse_environment, split_command
from ..session import Session


def _sandbox_options(command: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option("-e", "--env", metavar="NAME[=VALUE]", multiple=True, help="Set a variable, or pass yours on."),
        click.option("--env-file", metavar="FILE", multiple=True, help="Read variables from FILE."),
        click.option("-v", "--volume", metavar="SOURCE:TARGET[:ro]", multiple=True, help="Show a host path inside."),
        click.option("-w", "--workdir", metavar="DIR", help="Working directory inside."),
        click.option("-u", "--user", metavar="USER[:GROUP]", help="User, by name or number."),
        click.option(
            "--network",
            type=click.Choice(["none", "host"]),
            default="none",
            help="none (default): no network; host: this machine's.",
        ),
        click.option("--hostname", metavar="NAME", help="Host name inside."),
        click.option("--read-only", is_flag=True, help="The environment cannot be written to."),
        click.option("--rm", "remove", is_flag=True, help="Accepted as docker users type it; always so with a REV."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@verb("run", short_help=False, options_metavar="[OPTIONS]")
@click.argument("words", nargs=-1, metavar="[REV] -- COMMAND...", shell_complete=complete_revision)
@click.option("-i", "--interactive", is_flag=True, help="Keep standard input open.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@_sandbox_options
@click.option("--entrypoint", metavar="PROGRAM", help="Instead of the environment's entry point.")
@click.pass_context
def run_command(
    ctx: click.Context, /, words: tuple[str, ...], interactive: bool, tty: bool, entrypoint: str | None, **options: Any
) -> int:
    """Run COMMAND in the current environment, or in any revision.

    Without REV the changes it makes stay, uncommitted. With REV it is throw-away: nothing of it remains. What follows
    `--` is the command; nothing after `--` is the environment's own command.

    Exit status: the command's (128+N when signal N ended it); 125 when envgit failed, 126 when the program cannot be
    executed, 127 when there is no such program.
    """
    ctx.obj.runs_program = True
    revision, command = split_command(words, words_after_dashes(ctx), "run")
    return _run(ctx.obj, revision, command, interactive, tty, entrypoint, options)


@verb("shell", short_help=False)
@click.argument("revision", required=False, metavar="[REV]", shell_complete=complete_revision)
@_sandbox_options
@click.pass_context
def shell_command(ctx: click.Context, /, revision: str | None, **options: Any) -> int:
    """Open the environment's shell in a terminal, in the current environment or in any revision.

    The same as `envgit run -it [REV] -- SHELL`, with bash where the environment has it, else sh.
    """
    session: Session = ctx.obj
    session.runs_program = True
    if words_after_dashes(ctx) is not None:
        raise UsageError("a shell takes no command", hint="use: envgit run -it [REV] -- COMMAND...")
    command = ("/bin/sh", "-c", "command -v bash >/dev/null && exec bash; exec sh")
    terminal = session.stdin_is_terminal and session.stdout_is_terminal
    return _run(session, revision, command, True, terminal, "", options)


def _run(
    session: Session,
    revision: str | None,
    command: tuple[str, ...],
    interactive: bool,
    tty: bool,
    entrypoint: str | None,
    options: dict[str, Any],
) -> int:
    from envgit.run import RunRequest, run_sandbox

    if tty and not session.stdin_is_terminal:
        raise UsageError("-t needs a terminal, and standard input is none", hint="leave -t out: envgit run -i ...")
    request = RunRequest(
        revision=revision,
        command=command,
        env=parse_environment(options["env"], options["env_file"], session.environ),
        workdir=options["workdir"],
        user=options["user"],
        volumes=tuple(options["volume"]),
        interactive=interactive,
        terminal=tty,
        network=options["network"],
        hostname=options["hostname"],
        read_only=options["read_only"],
        entrypoint=entrypoint,
    )
    return run_sandbox(session.repo, request)

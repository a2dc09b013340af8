"""envgit exec."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import verb, words_after_dashes
from ..each_sandbox import complete_sandbox
from ..run_options import parse_environment
from ..session import Session


@verb(
    "exec",
    short_help=False,
    options_metavar="[OPTIONS]",
    context_settings={"allow_interspersed_args": False},
)
@click.argument(
    "words", nargs=-1, metavar="NAME [--] COMMAND...", type=click.UNPROCESSED, shell_complete=complete_sandbox
)
@click.option("-i", "--interactive", is_flag=True, help="Keep standard input open.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@click.option("-d", "--detach", is_flag=True, help="Leave it in the background.")
@click.option("-e", "--env", metavar="NAME[=VALUE]", multiple=True, help="Set a variable, or pass yours on.")
@click.option("--env-file", metavar="FILE", multiple=True, help="Read variables from FILE.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="User, by name or number.")
@click.option("-w", "--workdir", metavar="DIR", help="Working directory inside.")
@click.option("--privileged", is_flag=True, help="Refused: see below.")
@click.pass_context
def exec_command(
    ctx: click.Context,
    words: tuple[str, ...],
    interactive: bool,
    tty: bool,
    detach: bool,
    env: tuple[str, ...],
    env_file: tuple[str, ...],
    user: str | None,
    workdir: str | None,
    privileged: bool,
) -> int:
    """Run another program in a running sandbox.

    It joins every namespace and the control group of the sandbox and has the same capabilities and system call filter;
    variables, user and directory are those of the sandbox's own program unless given. There is no way to give it more
    (--privileged): start the sandbox with what it needs, by --cap-add.

    Exit status: the command's (128+N when signal N ended it); 125 when envgit failed, 126 when the program cannot be
    executed, 127 when there is no such program.
    """
    from envgit.sandbox.entering import EnterRequest, enter_detached, enter_sandbox

    session: Session = ctx.obj
    session.runs_program = True
    if privileged:
        raise UsageError(
            "--privileged is not available", hint="give the sandbox what it needs: envgit run --cap-add NAME"
        )
    tail = words_after_dashes(ctx)
    command = words[1:] if tail is None else (*words[1:], "--", *tail) if words[1:] else tail
    if not words or not command:
        raise UsageError("which sandbox, and which command?", hint="envgit exec -it NAME -- sh")
    if tty and not detach and not session.stdin_is_terminal:
        raise UsageError("-t needs a terminal, and standard input is none", hint="leave -t out: envgit exec -i ...")
    variables = parse_environment(env, env_file, session.environ)
    request = EnterRequest(command, variables, user, workdir, tty and not detach, interactive)
    if detach:
        enter_detached(session.repo, words[0], request)
        return 0
    return enter_sandbox(session.repo, words[0], request)

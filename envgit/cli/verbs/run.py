"""envgit run and shell."""

from __future__ import annotations

import os
from typing import Any

import click

from envgit.errors import UsageError

from ..command import verb, words_after_dashes
from ..completing import complete_revision
from ..docker_options import ProgramCommand
from ..run_options import split_command
from ..sandbox_options import life_options, make_request, sandbox_options
from ..session import Session


@verb("run", short_help=False, options_metavar="[OPTIONS]", cls=ProgramCommand)
@click.argument("words", nargs=-1, metavar="[REV] -- COMMAND...", shell_complete=complete_revision)
@click.option("-i", "--interactive", is_flag=True, help="Keep standard input open.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@life_options
@sandbox_options
@click.option("--entrypoint", metavar="PROGRAM", help="Instead of the environment's entry point.")
@click.option(
    "-n", "--copies", metavar="N", type=click.INT, help="Run N copies of REV at once; see ENVGIT_INDEX inside."
)
@click.option("--at", "code_revision", metavar="CODE_REV", help="Run what this commit of the code was linked to.")
@click.option("--save", metavar="BRANCH", help="Commit the changes to BRANCH when it succeeds (of copies: the first).")
@click.option("--runtime", metavar="NAME", help="Let crun, runc or another OCI runtime start it.")
@click.option("--dry-run", is_flag=True, help="Print the plan of the start; start nothing.")
@click.pass_context
def run_command(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    interactive: bool,
    tty: bool,
    entrypoint: str | None,
    copies: int | None,
    code_revision: str | None,
    save: str | None,
    runtime: str | None,
    dry_run: bool,
    **options: Any,
) -> int:
    """Run COMMAND in the current environment, or in any revision.

    Without REV the changes it makes stay, uncommitted. With REV it is throw-away: nothing of it remains, unless it has
    a --name or is saved. What follows `--` is the command; nothing after `--` is the environment's own command.

    Exit status: the command's (128+N when signal N ended it); 125 when envgit failed, 126 when the program cannot be
    executed, 127 when there is no such program.
    """
    session: Session = ctx.obj
    session.runs_program = True
    revision, command = split_command(words, words_after_dashes(ctx), "run")
    revision = _linked(session, revision, code_revision)
    if tty and not options["detach"] and not session.stdin_is_terminal:
        raise UsageError("-t needs a terminal, and standard input is none", hint="leave -t out: envgit run -i ...")
    request = make_request(
        options,
        session.environ,
        os.getcwd(),
        revision=revision,
        command=command,
        interactive=interactive,
        terminal=tty,
        entrypoint=entrypoint,
        runtime=runtime or "",
    )
    from ..running import dry_run as print_plan
    from ..running import run_request

    if dry_run:
        return print_plan(session, request)
    return run_request(session, request, copies, save)


@verb("shell", short_help=False, cls=ProgramCommand)
@click.argument("revision", required=False, metavar="[REV]", shell_complete=complete_revision)
@click.option("--failed", is_flag=True, help="In the state that the last failed step of a build left.")
@click.option("--at", "code_revision", metavar="CODE_REV", help="In what this commit of the code was linked to.")
@sandbox_options
@click.pass_context
def shell_command(
    ctx: click.Context, /, revision: str | None, failed: bool, code_revision: str | None, **options: Any
) -> int:
    """Open the environment's shell in a terminal, in the current environment or in any revision.

    The same as `envgit run -it [REV] -- SHELL`, with bash where the environment has it, else sh.
    """
    session: Session = ctx.obj
    session.runs_program = True
    if words_after_dashes(ctx) is not None:
        raise UsageError("a shell takes no command", hint="use: envgit run -it [REV] -- COMMAND...")
    revision = _linked(session, revision, code_revision)
    if failed:
        if revision is not None:
            raise UsageError("--failed and a revision exclude each other", hint=f"envgit shell {revision}")
        from envgit.building.failed_state import failed_revision

        revision = failed_revision(session.repo)
    request = make_request(
        options,
        session.environ,
        os.getcwd(),
        revision=revision,
        command=("/bin/sh", "-c", "command -v bash >/dev/null && exec bash; exec sh"),
        interactive=True,
        terminal=session.stdin_is_terminal and session.stdout_is_terminal,
        entrypoint="",
    )
    from envgit.run import run_sandbox

    return run_sandbox(session.repo, request)


def _linked(session: Session, revision: str | None, code_revision: str | None) -> str | None:
    """Return the revision to run: the one given, or the one that --at leads to."""
    if code_revision is None:
        return revision
    if revision is not None:
        raise UsageError("--at names the revision; another one makes no sense", hint="leave one of them out")
    from envgit.link import find_code, find_linked

    return find_linked(session.repo, find_code(session.repo, os.getcwd()), code_revision)

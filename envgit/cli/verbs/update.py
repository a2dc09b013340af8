"""envgit update."""

from __future__ import annotations

import click

from ..command import json_option, quiet_option, refuse_words_after_dashes, verb
from ..session import Session


@verb("update")
@click.argument("packages", metavar="[PACKAGE]...", nargs=-1)
@click.option("-f", "--file", metavar="FILE", help="The envgit.toml.")
@click.option("--env", "name", metavar="NAME", default="", help="One of several environments of the file.")
@click.option("--secret", "secrets", metavar="id=NAME,src=FILE", multiple=True, help="As envgit build takes it.")
@click.option("--branch", metavar="BRANCH", help="Make the result the tip of BRANCH, not of the one checked out.")
@json_option
@quiet_option
@click.pass_context
def update_command(
    ctx: click.Context,
    packages: tuple[str, ...],
    file: str | None,
    name: str,
    secrets: tuple[str, ...],
    branch: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Build again with newer packages, and write envgit.lock.

    envgit build keeps the versions that envgit.lock has. This one takes the newest that the declaration allows: of each PACKAGE
    and of what it needs, or without one of all packages and of the base. It prints what moved.
    """
    from envgit.building.loading import BuildRequest
    from envgit.building.options import BuildOptions
    from envgit.update import update_environment

    from ..build_progress import BuildLines
    from ..build_text import result_line
    from ..build_values import parse_secrets
    from ..update_text import move_lines, update_fields

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    options = BuildOptions(secrets=parse_secrets(secrets, session.environ), branch=branch)
    request = BuildRequest(file=file, name=name, options=options)
    update = update_environment(session.repo, request, packages, None if quiet else BuildLines(session.monitor))
    if as_json:
        from ..json_output import write_json

        write_json(session.out, update_fields(update))
    elif not quiet:
        for line in move_lines(update, session.out):
            session.out.line(line)
        session.out.line(result_line(update.result, session.out))
    if update.result.landing.moved and not quiet:
        session.hint_undo(update.result.landing.operation)
    return session.status_of_warnings()

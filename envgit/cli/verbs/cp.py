"""envgit cp."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import refuse_words_after_dashes, verb
from ..session import Session


@verb("cp", options_metavar="[OPTIONS]")
@click.argument("source", metavar="NAME:PATH | PATH | -")
@click.argument("target", metavar="PATH | NAME:PATH | -")
@click.option("-a", "--archive", is_flag=True, help="Keep the ids of users and groups.")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what a link SOURCE leads to, not the link.")
@click.pass_context
def cp_command(ctx: click.Context, source: str, target: str, archive: bool, follow_link: bool) -> None:
    """Copy files between a sandbox, running or not, and the host.

    As cp -r: into TARGET when it is a directory, else as TARGET; NAME:DIR/. is the content of DIR. `-` is a tar archive on
    standard output or input.
    """
    from envgit.sandbox.copying import copy_in, copy_out, split_place

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    (from_name, from_path), (to_name, to_path) = split_place(source), split_place(target)
    if from_name is not None and to_name is None:
        if to_path == "-" and session.stdout_is_terminal:
            raise UsageError("a tar archive is nothing for a terminal", hint=f"envgit cp {source} - | tar -t")
        session.out.flush()
        copy_out(session.repo, from_name, from_path, to_path, archive=archive, follow=follow_link)
    elif from_name is None and to_name is not None:
        copy_in(session.repo, to_name, from_path, to_path, archive=archive, follow=follow_link)
    else:
        raise UsageError("one of the two must be NAME:PATH of a sandbox", hint="envgit cp NAME:/path ./here")

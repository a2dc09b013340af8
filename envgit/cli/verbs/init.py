"""envgit init."""

from __future__ import annotations

import os

import click

from envgit.errors import UsageError
from envgit.repo import has_recipe

from ..command import quiet_option, refuse_words_after_dashes, verb
from ..session import Session


@verb("init")
@click.argument("directory", default=".", type=click.Path(file_okay=False))
@click.option("--from", "source", metavar="SOURCE", help="host, dir:PATH, tar:FILE, tar:-, docker://NAME, oci:DIR, ...")
@click.option(
    "--platform", metavar="OS/ARCH", default="", help="Of an image that has several; this machine's by default."
)
@click.option("--squash", is_flag=True, help="Make one commit of an image, not one of each layer.")
@click.option("-b", "--initial-branch", "branch", metavar="NAME", default="main", help="Name of the first branch.")
@click.option("-m", "--message", metavar="TEXT", help="Message of the first commit (with --from).")
@quiet_option
@click.pass_context
def init_command(
    ctx: click.Context,
    directory: str,
    source: str | None,
    platform: str,
    squash: bool,
    branch: str,
    message: str | None,
    quiet: bool,
) -> int:
    """Create a repository in DIRECTORY (the current one by default), made if it is not there.

    With --from a root filesystem becomes its first commit: `host` is a minimal one of this machine's distribution,
    made from its installed packages, without network and without root; `dir:PATH` and `tar:FILE` are taken as they
    are; an image is read or pulled, as `envgit import` does. If DIRECTORY/.envgit is a bare clone that git made of an
    environment repository, it becomes one.
    """
    from envgit.init import init_repository

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if message is not None and source is None:
        raise UsageError("-m says what an import brings, but there is no --from", hint="add --from SOURCE")
    if platform and source is None:
        raise UsageError("--platform chooses among an image's, but there is no --from", hint="add --from docker://NAME")
    if squash and source is None:
        raise UsageError("--squash is about an image, but there is no --from", hint="add --from docker://NAME")
    parsed = None
    if source is not None:
        from envgit.layers.sources import parse_source

        parsed = parse_source(source)
    result = init_repository(
        directory,
        session.environ,
        session.monitor,
        source=parsed,
        branch=branch,
        message=message,
        stdin=session.stdin if source == "tar:-" else None,
        platform=platform,
        squash=squash,
    )
    if not quiet:
        state = "Reinitialized existing" if result.reinitialised else "Initialized empty"
        if result.imported:
            state = "Initialized"
        elif result.adopted:
            state = "Adopted the clone as"
        session.out.line(f"{state} envgit repository in {session.out.path(os.fsencode(result.path))}")
    if result.imported is not None:
        from ..import_text import say_import, say_left_out

        if quiet:
            say_left_out(session, result.imported)
        else:
            say_import(session, result.imported)
    if not quiet:
        _say_next(session, directory, result.imported is not None or result.adopted)
    return session.status_of_warnings()


def _say_next(session: Session, directory: str, imported: bool) -> None:
    go = "" if directory == "." else f"cd {directory}; "
    if imported:
        session.say(f"hint: next: {go}envgit run -it -- bash")
    elif has_recipe(directory):
        session.say(f"hint: next: {go}envgit build")
    else:
        session.say(f"hint: next: {go}envgit import host   (or dir:PATH, tar:FILE)")

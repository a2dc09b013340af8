"""envgit import."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import dry_run_option, quiet_option, refuse_words_after_dashes, verb
from ..import_text import say_import, say_left_out
from ..session import Session


@verb("import")
@click.argument("source", metavar="SOURCE", required=False)
@click.option("--from", "from_source", metavar="SOURCE", help="The same as SOURCE, as init has it.")
@click.option(
    "--platform", metavar="OS/ARCH", default="", help="Of an image that has several; this machine's by default."
)
@click.option("--squash", is_flag=True, help="Make one commit of an image, not one of each layer.")
@click.option("-m", "--message", metavar="TEXT", help="Message of the commit.")
@dry_run_option
@quiet_option
@click.pass_context
def import_command(
    ctx: click.Context,
    source: str | None,
    from_source: str | None,
    platform: str,
    squash: bool,
    message: str | None,
    dry_run: bool,
    quiet: bool,
) -> int:
    """Record a root filesystem as a new commit on the current branch.

    SOURCE is `host`, `dir:PATH`, `tar:FILE` or `tar:-` (standard input). Archives may be plain, gzip, zstd or xz; they
    are read as a stream and never unpacked to disk first.

    SOURCE may be an image: `docker://NAME[:TAG][@DIGEST]` from a registry, with the credentials of envgit login, docker login or
    podman login; `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME:TAG]`. The image's configuration (variables,
    command, user, ports) becomes the environment's. Each of its layers becomes a commit with the instruction that made it, the same
    one for everybody; layers that are here already are not fetched. One more commit joins them with what the branch has.

    Exit status 3: imported, but something was left out or could not be kept; standard error says what.
    """
    from envgit.import_environment import import_environment
    from envgit.layers.sources import parse_source

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if (source is None) == (from_source is None):
        raise UsageError("name one source", hint="envgit import host, dir:PATH, tar:FILE or docker://NAME")
    source = source or from_source or ""
    result = import_environment(
        session.repo,
        parse_source(source),
        message=message,
        dry_run=dry_run,
        stdin=session.stdin if source == "tar:-" else None,
        platform=platform,
        squash=squash,
    )
    if quiet:
        say_left_out(session, result)
    else:
        say_import(session, result)
        session.hint_undo(result.operation or None)
    return session.status_of_warnings()

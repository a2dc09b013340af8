"""envgit packages."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import json_option, refuse_words_after_dashes, verb
from ..completing import complete_revision
from ..session import Session


@verb("packages")
@click.argument("revision", metavar="[REV]", required=False, shell_complete=complete_revision)
@click.option("--manager", "managers", metavar="NAME", multiple=True, help="Only dpkg, apk, rpm, pip, npm or conda.")
@click.option("--worktree", is_flag=True, help="Of the worktree, with its uncommitted changes.")
@json_option
@click.pass_context
def packages_command(
    ctx: click.Context, revision: str | None, managers: tuple[str, ...], worktree: bool, as_json: bool
) -> int:
    """List the packages of a revision (HEAD by default).

    They are read from the databases of dpkg, apk, rpm, pip, npm and conda; no program of the environment is run. A line is
    the manager, name, version, architecture and the place that says so.
    """
    from envgit.package_listing import list_packages

    from ..package_text import package_lines, warn_of, write_packages_json

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if worktree and revision is not None:
        raise UsageError("--worktree and a revision exclude each other", hint="envgit packages --worktree")
    wanted = None if worktree else revision or "HEAD"
    listing = list_packages(session.repo, wanted, managers=managers)
    if as_json:
        write_packages_json(session.out, wanted, listing.oid, listing.packages)
    else:
        with session.paged() as out:
            for line in package_lines(listing.packages, out):
                out.line(line)
    warn_of(session, listing.notices)
    return session.status_of_warnings()

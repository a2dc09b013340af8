"""envgit clone."""

from __future__ import annotations

import click

from ..command import quiet_option, refuse_words_after_dashes, verb
from ..escape import count_of, human_bytes
from ..session import Session


@verb("clone")
@click.argument("source")
@click.argument("folder", required=False)
@click.option("-b", "--branch", metavar="NAME", help="Check out this branch or tag.")
@click.option("-o", "--origin", metavar="NAME", default="origin", help="Call the remote so.")
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="Only N commits of the branch.")
@click.option("--single-branch/--no-single-branch", default=None, help="Only the branch that is checked out.")
@click.option("--no-tags", is_flag=True, help="Without tags.")
@quiet_option
@click.pass_context
def clone_command(
    ctx: click.Context,
    source: str,
    folder: str | None,
    branch: str | None,
    origin: str,
    depth: int | None,
    single_branch: bool | None,
    no_tags: bool,
    quiet: bool,
) -> None:
    """Make a repository in FOLDER with the history of another one.

    SOURCE is a path, `ssh://HOST/PATH`, `USER@HOST:PATH`, `https://...`, a bundle file, or `docker://NAME[:TAG]` for an image
    that was pushed with its history. What comes is checked strictly before it is let in; a clone that is interrupted leaves
    nothing.
    """
    from envgit.clone import CloneOptions, clone

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    single = depth is not None if single_branch is None else single_branch
    options = CloneOptions(branch, depth, single, not no_tags, origin)
    made = clone(source, folder, session.environ, session.monitor, options)
    if quiet:
        return
    out = session.out
    out.line(f"Cloned into {out.safe(made.path)}")
    if made.oid is None:
        session.say("warning: the other repository is empty: the first push gives it something")
        return
    at = out.safe(made.branch) if made.branch else "detached HEAD"
    size = f", {human_bytes(made.fetched.bytes)}" if made.fetched.bytes else ""
    branches = sum(change.name.startswith("refs/remotes/") for change in made.fetched.changes)
    out.line(
        f"[{at} {made.oid[:7]}] {count_of(branches, 'branch', 'branches')}, {count_of(made.fetched.objects, 'object')}{size}"
    )
    session.say(f"hint: look around in it: cd {out.safe(made.path.removesuffix('/.envgit'))} && envgit shell")

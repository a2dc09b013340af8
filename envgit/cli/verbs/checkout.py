"""envgit checkout and switch."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import quiet_option, verb, words_after_dashes
from ..completing import complete_revision
from ..session import Session
from ..switching import switch_and_say


@verb("checkout")
@click.argument("words", nargs=-1, metavar="[REV] [-- PATH...]", shell_complete=complete_revision)
@click.option("-b", "create", metavar="NAME", help="Create the branch NAME at REV and switch to it.")
@click.option("-B", "force_create", metavar="NAME", help="The same; a branch NAME that exists is moved.")
@click.option("-d", "--detach", is_flag=True, help="Check REV out without a branch.")
@quiet_option
@click.pass_context
def checkout_command(
    ctx: click.Context,
    words: tuple[str, ...],
    create: str | None,
    force_create: str | None,
    detach: bool,
    quiet: bool,
) -> None:
    """Switch to a branch or revision, or take PATHs back from a revision.

    Uncommitted changes belong to their branch: switching never loses them, they are there again when you come back.
    With -b they are carried to the new branch. `-` is the branch before.
    """
    session: Session = ctx.obj
    tail = words_after_dashes(ctx)
    if tail:
        if create or force_create or detach or len(words) > 1:
            raise UsageError("paths are taken back without switching", hint="use: envgit checkout [REV] -- PATH...")
        from ..restoring import restore_and_say

        restore_and_say(session, tail, words[0] if words else None, quiet=quiet)
        return
    switch_and_say(session, words, create, force_create, detach, quiet)


@verb("switch")
@click.argument("words", nargs=-1, metavar="[BRANCH | START]", shell_complete=complete_revision)
@click.option("-c", "--create", metavar="NAME", help="Create the branch NAME at START and switch to it.")
@click.option("-C", "--force-create", metavar="NAME", help="The same; a branch NAME that exists is moved.")
@click.option("-d", "--detach", is_flag=True, help="Check a revision out without a branch.")
@quiet_option
@click.pass_obj
def switch_command(
    session: Session,
    words: tuple[str, ...],
    create: str | None,
    force_create: str | None,
    detach: bool,
    quiet: bool,
) -> None:
    """Switch branches. As checkout, but a revision that is no branch needs --detach."""
    if words and not (create or force_create or detach) and words[0] != "-":
        from envgit.branch import list_branches

        if words[0] not in {branch.name for branch in list_branches(session.repo)}:
            raise UsageError(
                f"'{words[0]}' is not a branch",
                hint=f"create it: envgit switch -c {words[0]}, or detach: envgit switch -d {words[0]}",
            )
    switch_and_say(session, words, create, force_create, detach, quiet)

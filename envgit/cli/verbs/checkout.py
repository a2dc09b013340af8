"""envgit checkout and switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from envgit.errors import UsageError

from ..command import environment_path, quiet_option, verb, words_after_dashes
from ..completing import complete_revision
from ..session import Session

if TYPE_CHECKING:
    from envgit.checkout import CheckoutResult


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
    _switch(session, words, create, force_create, detach, quiet)


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
    _switch(session, words, create, force_create, detach, quiet)


def _switch(
    session: Session,
    words: tuple[str, ...],
    create: str | None,
    force_create: str | None,
    detach: bool,
    quiet: bool,
) -> None:
    from envgit.checkout import checkout

    if create and force_create:
        raise UsageError("there can be one new branch only", hint="use either -b or -B")
    if len(words) > 1:
        path = environment_path(words[1]).decode("utf-8", "replace")
        raise UsageError("at most one revision makes sense", hint=f"paths go after --: {words[0]} -- {path}")
    if not (words or create or force_create or detach):
        raise UsageError("which branch or revision?", hint="envgit branch lists them; -b NAME creates one")
    result = checkout(
        session.repo,
        words[0] if words else None,
        create=create or force_create,
        force_create=force_create is not None,
        detach=detach,
    )
    if not quiet:
        _say_switch(session, result)


def _say_switch(session: Session, result: CheckoutResult) -> None:
    out = session.out
    if result.branch is None:
        verb_text = "Already at" if result.already else "HEAD is now at"
        out.line(f"{verb_text} {out.paint('yellow', (result.oid or '')[:7])} (detached)")
    elif result.already:
        out.line(f"Already on '{out.safe(result.branch)}'")
    else:
        kind = "a new branch" if result.created else "branch"
        at = f" at {out.paint('yellow', result.oid[:7])}" if result.oid else " (no commits yet)"
        out.line(f"Switched to {kind} '{out.safe(result.branch)}'{at}")
    if result.carried:
        out.line("Uncommitted changes came along (envgit status).")
    elif result.uncommitted and not result.already:
        out.line("It has uncommitted changes from before (envgit status).")
    if not result.already:
        session.say("hint: to go back: envgit checkout -" if result.previous else "hint: take it back: envgit undo")

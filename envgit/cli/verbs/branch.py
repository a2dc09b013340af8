"""envgit branch."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import json_option, quiet_option, refuse_words_after_dashes, verb
from ..completing import complete_branch, complete_revision
from ..session import Session


@verb("branch")
@click.argument("names", nargs=-1, metavar="[NAME [START]]", shell_complete=complete_branch)
@click.option("-l", "--list", "listing", is_flag=True, help="List those that match the pattern NAME.")
@click.option("-v", "--verbose", is_flag=True, help="With the id and subject of each.")
@click.option("--show-current", is_flag=True, help="Print the name of the current branch.")
@click.option("-d", "--delete", is_flag=True, help="Delete merged branches.")
@click.option("-D", "force_delete", is_flag=True, help="Delete branches, merged or not.")
@click.option("-m", "--move", is_flag=True, help="Rename: [OLD] NEW.")
@click.option("-M", "force_move", is_flag=True, help="Rename, even over a branch that exists.")
@click.option("-f", "--force", is_flag=True, help="Move a branch that exists.")
@click.option("-u", "--set-upstream-to", "upstream", metavar="REMOTE/BRANCH", help="Let the branch follow it.")
@click.option("--unset-upstream", is_flag=True, help="Let the branch follow nothing.")
@click.option("-r", "--remotes", is_flag=True, help="List the branches of remotes.")
@click.option("-a", "--all", "every", is_flag=True, help="List those of remotes, too.")
@click.option("--contains", metavar="REV", shell_complete=complete_revision, help="Those that contain REV.")
@click.option("--merged", metavar="REV", shell_complete=complete_revision, help="Those that REV contains.")
@quiet_option
@json_option
@click.pass_context
def branch_command(
    ctx: click.Context,
    names: tuple[str, ...],
    listing: bool,
    verbose: bool,
    show_current: bool,
    delete: bool,
    force_delete: bool,
    move: bool,
    force_move: bool,
    force: bool,
    upstream: str | None,
    unset_upstream: bool,
    remotes: bool,
    every: bool,
    contains: str | None,
    merged: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """List branches, or create NAME at START (HEAD by default), rename or delete.

    `*` marks the current branch, `+` one that has uncommitted changes.
    """
    from envgit.branch import create_branch, delete_branches, rename_branch

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if sum((delete or force_delete, move or force_move, listing, show_current)) > 1:
        raise UsageError("list, rename or delete: one at a time")
    if show_current:
        session.out.write("".join(f"{session.out.safe(name)}\n" for name in [session.repo.branch_name()] if name))
        return
    if delete or force_delete:
        if not names:
            raise UsageError("which branch?", hint="envgit branch lists them")
        for gone in delete_branches(session.repo, names, force=force_delete or force):
            if not quiet:
                session.out.line(f"Deleted branch {session.out.safe(gone.name)} (was {gone.oid[:7]}).")
        session.hint_undo(None if quiet else 1)
        return
    if move or force_move:
        if not 1 <= len(names) <= 2:
            raise UsageError("rename which branch to what?", hint="envgit branch -m [OLD] NEW")
        moved = rename_branch(session.repo, names[0] if len(names) == 2 else None, names[-1], force=force_move or force)
        if not quiet:
            out = session.out
            out.line(f"Renamed branch {out.safe(moved.previous or '')} to {out.safe(moved.name)}")
            session.hint_undo(moved.operation)
        return
    if upstream is not None or unset_upstream:
        _follow(session, names, upstream, quiet)
        return
    listing = listing or remotes or every
    if listing or not names:
        if len(names) > 1:
            raise UsageError("one pattern at a time")
        _list(
            session,
            names[0] if names else None,
            contains,
            merged,
            verbose,
            as_json,
            "remotes" if remotes else "all" if every else "own",
        )
        return
    if len(names) > 2:
        raise UsageError("a branch has one start", hint="envgit branch NAME [START]")
    made = create_branch(session.repo, names[0], names[1] if len(names) == 2 else "HEAD", force=force)
    if not quiet:
        verb_text = "Moved" if made.previous else "Created"
        session.out.line(f"{verb_text} branch {session.out.safe(made.name)} at {made.oid[:7]}")
        session.say(f"hint: switch to it: envgit checkout {made.name}")
        session.hint_undo(made.operation)


def _follow(session: Session, names: tuple[str, ...], upstream: str | None, quiet: bool) -> None:
    from envgit.branch import follow
    from envgit.remotes.configuration import unset_upstream

    if len(names) > 1:
        raise UsageError("one branch at a time", hint="envgit branch -u REMOTE/BRANCH NAME")
    name = names[0] if names else None
    if upstream is None:
        gone = name or session.repo.branch_name() or ""
        unset_upstream(session.repo, gone)
        said = f"Branch {gone} follows nothing"
    else:
        said = f"Branch {follow(session.repo, name, upstream)} follows {upstream}"
    if not quiet:
        session.out.line(session.out.safe(said))


def _list(
    session: Session,
    pattern: str | None,
    contains: str | None,
    merged: str | None,
    verbose: bool,
    as_json: bool,
    which: str,
) -> None:
    from envgit.branch import list_branches, list_remembered

    branches = (
        () if which == "remotes" else list_branches(session.repo, contains=contains, merged=merged, pattern=pattern)
    )
    if which != "own":
        branches += list_remembered(session.repo, pattern=pattern)
    if as_json:
        from ..json_output import write_json

        write_json(session.out, {"branches": [branch._asdict() for branch in branches]})
        return
    width = max((len(branch.name) for branch in branches), default=0)
    with session.paged() as out:
        if session.repo.branch_name() is None and pattern is None and which != "remotes":
            oid = session.repo.head_oid() or ""
            out.line("* " + out.paint("green", f"(HEAD detached at {oid[:7]})"))
        for branch in branches:
            mark = "*" if branch.current else "+" if branch.uncommitted else " "
            name = out.safe(branch.name)
            shown = out.paint("green", name) if branch.current else name
            pad = " " * (width - len(branch.name))
            details = (
                f"{pad} {branch.oid[:7]}{_following(session, branch.name)} {out.safe(branch.subject)}"
                if verbose
                else ""
            )
            out.line(f"{mark} {shown}{details}")


def _following(session: Session, branch: str) -> str:
    """Return what git branch -vv has in brackets: what the branch follows, and how far it has gone apart."""
    from envgit.remotes.divergence import compare_with_upstream

    from ..status_text import short_upstream

    found = compare_with_upstream(session.repo, branch)
    if found is None:
        return ""
    parts = [f"ahead {found.ahead}"] if found.ahead else []
    parts += [f"behind {found.behind}"] if found.behind else []
    state = "gone" if found.gone else ", ".join(parts)
    return f" [{session.out.safe(short_upstream(found.upstream))}{': ' + state if state else ''}]"

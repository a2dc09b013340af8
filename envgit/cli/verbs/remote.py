"""envgit remote."""

from __future__ import annotations

from typing import Final

import click

from envgit.errors import UsageError
from envgit.suggestion import suggest

from ..command import json_option, quiet_option, refuse_words_after_dashes, verb
from ..escape import count_of
from ..session import Session

_ACTIONS: Final = {
    "add": "NAME URL",
    "remove": "NAME",
    "rm": "NAME",
    "rename": "OLD NEW",
    "set-url": "NAME URL",
    "get-url": "NAME",
    "show": "NAME",
    "prune": "NAME",
}


@verb("remote")
@click.argument("words", nargs=-1, metavar="[ACTION ...]")
@click.option("-v", "--verbose", is_flag=True, help="List with addresses.")
@click.option("--push", "for_push", is_flag=True, help="With set-url and get-url: the address for pushes.")
@quiet_option
@json_option
@click.pass_context
def remote_command(
    ctx: click.Context, words: tuple[str, ...], verbose: bool, for_push: bool, quiet: bool, as_json: bool
) -> None:
    """List remotes, or change them.

    \b
    add NAME URL       a repository to push to and fetch from
    remove NAME        forget it, with what is known of its branches
    rename OLD NEW
    set-url NAME URL   it has moved
    get-url NAME
    show NAME|URL      ask it what it has
    prune NAME         forget branches that it no longer has
    """
    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if not words:
        _list(session, verbose, as_json)
        return
    action, *rest = words
    if action not in _ACTIONS:
        raise UsageError(f"{action!r} is no action on remotes", hint=suggest(action, _ACTIONS))
    if len(rest) != len(_ACTIONS[action].split()):
        raise UsageError(
            f"envgit remote {action} takes {_ACTIONS[action]}", hint=f"envgit remote {action} {_ACTIONS[action]}"
        )
    if action == "show":
        _show(session, rest[0], as_json)
    else:
        _change(session, action, rest, for_push, quiet)


def _change(session: Session, action: str, words: list[str], for_push: bool, quiet: bool) -> None:
    from envgit.fetch import FetchOptions, fetch
    from envgit.remote import change_url, create_remote, remove_remote, rename_remote
    from envgit.remotes.configuration import require_remote

    repo, out = session.repo, session.out
    said = ""
    if action == "get-url":
        remote = require_remote(repo, words[0])
        out.line(out.safe(remote.push_url if for_push else remote.url))
    elif action == "add":
        made = create_remote(repo, words[0], words[1])
        said = f"Added remote {made.name}: {made.shown}"
    elif action == "set-url":
        changed = change_url(repo, words[0], words[1], push=for_push)
        said = f"{changed.name} is at {changed.shown_push if for_push else changed.shown} now"
    elif action == "rename":
        count = rename_remote(repo, words[0], words[1])
        said = f"Renamed remote {words[0]} to {words[1]}, with {count_of(count, 'ref')}"
    elif action == "prune":
        result = fetch(repo, words[0], FetchOptions(prune=True))
        said = f"Forgot {count_of(sum(each.kind == 'pruned' for each in result.changes), 'branch', 'branches')}"
    else:
        count = remove_remote(repo, words[0])
        said = f"Removed remote {words[0]}, with {count_of(count, 'ref')}"
    if said and not quiet:
        out.line(out.safe(said))


def _list(session: Session, verbose: bool, as_json: bool) -> None:
    from envgit.remote import read_remotes

    remotes = read_remotes(session.repo)
    if as_json:
        from ..json_output import write_json

        write_json(
            session.out,
            {"remotes": [{"name": each.name, "url": each.shown, "push_url": each.shown_push} for each in remotes]},
        )
        return
    out = session.out
    for each in remotes:
        if verbose:
            out.line(f"{out.safe(each.name)}\t{out.safe(each.shown)} (fetch)")
            out.line(f"{out.safe(each.name)}\t{out.safe(each.shown_push)} (push)")
        else:
            out.line(out.safe(each.name))


def _show(session: Session, name: str, as_json: bool) -> None:
    from envgit.remote import look_at_remote

    view = look_at_remote(session.repo, name)
    if as_json:
        from ..json_output import write_json

        branches = [{"name": branch, "oid": oid.hex(), "state": state} for branch, oid, state in view.branches]
        tags = [{"name": tag, "oid": oid.hex()} for tag, oid in view.tags]
        write_json(
            session.out,
            {
                "remote": view.remote.name,
                "url": view.remote.shown,
                "head": view.head,
                "branches": branches,
                "tags": tags,
                "gone": view.gone,
            },
        )
        return
    out = session.out
    out.line(f"* {out.safe(view.remote.name or 'remote')} {out.safe(view.remote.shown)}")
    out.line(f"  HEAD: {out.safe(view.head or '(unknown)')}")
    for branch, oid, state in view.branches:
        note = {"new": "not fetched yet", "same": "fetched", "moved": "moved since the last fetch"}[state]
        out.line(f"  branch {out.safe(branch)} {oid.hex()[:7]} ({note})")
    for tag, oid in view.tags:
        out.line(f"  tag {out.safe(tag)} {oid.hex()[:7]}")
    for branch in view.gone:
        out.line(f"  branch {out.safe(branch)} is gone there (envgit remote prune {out.safe(view.remote.name)})")

"""envgit tag."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import json_option, quiet_option, refuse_words_after_dashes, verb
from ..completing import complete_tag
from ..session import Session


@verb("tag")
@click.argument("names", nargs=-1, metavar="[NAME [REV]]", shell_complete=complete_tag)
@click.option("-l", "--list", "listing", is_flag=True, help="List those that match the pattern NAME.")
@click.option("-d", "--delete", is_flag=True, help="Delete tags.")
@click.option("-a", "--annotate", is_flag=True, help="Make an annotated tag; needs -m.")
@click.option("-m", "--message", "messages", metavar="TEXT", multiple=True, help="Message of an annotated tag.")
@click.option("-s/ ", "--sign/--no-sign", default=None, help="Sign it with user.signingKey; needs -m.")
@click.option("-u", "--local-user", "key", metavar="KEY", help="Sign it with this key.")
@click.option("-f", "--force", is_flag=True, help="Move a tag that exists.")
@click.option("-n", "subjects", is_flag=True, help="List with the subject of each.")
@quiet_option
@json_option
@click.pass_context
def tag_command(
    ctx: click.Context,
    names: tuple[str, ...],
    listing: bool,
    delete: bool,
    annotate: bool,
    messages: tuple[str, ...],
    sign: bool | None,
    key: str | None,
    force: bool,
    subjects: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """List tags, or create NAME at REV (HEAD by default), or delete."""
    from envgit.tag import create_tag, delete_tags

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if delete:
        if not names:
            raise UsageError("which tag?", hint="envgit tag lists them")
        for gone in delete_tags(session.repo, names):
            if not quiet:
                session.out.line(f"Deleted tag {session.out.safe(gone.name)} (was {gone.oid[:7]})")
        session.hint_undo(None if quiet else 1)
        return
    if listing or subjects or not names:
        _list(session, names[0] if names else None, subjects, as_json)
        return
    if len(names) > 2:
        raise UsageError("a tag names one revision", hint="envgit tag NAME [REV]")
    if annotate and not messages:
        raise UsageError("an annotated tag needs a message", hint="give it with -m")
    message = "\n\n".join(messages) if messages else None
    revision = names[1] if len(names) == 2 else "HEAD"
    made = create_tag(session.repo, names[0], revision, message=message, force=force, sign=key or sign)
    if not quiet:
        verb_text = f"Moved tag (was {made.previous[:7]})" if made.previous else "Created tag"
        session.out.line(f"{verb_text} {session.out.safe(made.name)} at {made.oid[:7]}")
        session.hint_undo(made.operation)


def _list(session: Session, pattern: str | None, subjects: bool, as_json: bool) -> None:
    from envgit.tag import list_tags

    tags = list_tags(session.repo, pattern)
    if as_json:
        from ..json_output import write_json

        write_json(session.out, {"tags": [tag._asdict() for tag in tags]})
        return
    width = max((len(tag.name) for tag in tags), default=0)
    with session.paged() as out:
        for tag in tags:
            name = out.safe(tag.name)
            out.line(f"{name:<{width}} {out.safe(tag.subject)}" if subjects else name)

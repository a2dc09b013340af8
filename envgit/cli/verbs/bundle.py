"""envgit bundle."""

from __future__ import annotations

import os

import click

from envgit.errors import UsageError

from ..command import json_option, quiet_option, refuse_words_after_dashes, verb
from ..escape import count_of, human_bytes
from ..session import Session
from ..transfer_text import short_ref


@verb("bundle")
@click.argument("words", nargs=-1, metavar="[A..B | BRANCH | TAG]...")
@click.option("-o", "--output", metavar="FILE", help="Where to write it; PROJECT.bundle by default.")
@quiet_option
@json_option
@click.pass_context
def bundle_command(ctx: click.Context, words: tuple[str, ...], output: str | None, quiet: bool, as_json: bool) -> None:
    """Write history to one file, to carry where no network goes.

    `A..B` is what the branch or tag B has and A has not; without words everything. `envgit clone FILE`, `envgit fetch FILE` and
    stock git read it.
    """
    from envgit.bundle import make_bundle

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    repo = session.repo
    if output == "-":
        raise UsageError("a bundle is not written to standard output", hint="name a file: envgit bundle -o FILE")
    path = output or os.path.basename(repo.project) + ".bundle"
    made = make_bundle(repo, words, path)
    if as_json:
        from ..json_output import write_json

        refs = [{"name": name, "oid": oid.hex()} for name, oid in made.refs]
        write_json(
            session.out,
            {"path": made.path, "bytes": made.bytes, "refs": refs, "needs": [oid.hex() for oid in made.needs]},
        )
    elif not quiet:
        names = ", ".join(short_ref(name) for name, _ in made.refs)
        session.out.line(session.out.safe(f"{made.path}: {names}; {human_bytes(made.bytes)}"))
        if made.needs:
            needed = ", ".join(oid.hex()[:7] for oid in made.needs)
            session.say(f"whoever reads it must have {count_of(len(made.needs), 'commit')}: {needed}")
        way = f"envgit fetch {path}" + ("" if made.needs else f", or envgit clone {path}")
        session.say(f"hint: read it there: {way}")

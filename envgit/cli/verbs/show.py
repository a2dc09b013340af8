"""envgit show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import json_option, refuse_words_after_dashes, verb
from ..completing import complete_revision
from ..diff_options import DiffOptions, diff_options, take_diff_options
from ..log_options import take_text_options, text_options
from ..session import Session

if TYPE_CHECKING:
    from envgit.show import Shown

    from ..commit_text import TextOptions
    from ..screen import Screen


@verb("show")
@click.argument("specs", nargs=-1, metavar="[REV | REV:PATH]...", shell_complete=complete_revision)
@text_options
@diff_options
@click.option("-s", "--no-patch", is_flag=True, help="Do not show what the commit changed.")
@json_option
@click.pass_context
def show_command(ctx: click.Context, /, specs: tuple[str, ...], no_patch: bool, as_json: bool, **keywords: Any) -> None:
    """Show a commit with its changes, an annotated tag, or a file or directory of a revision (HEAD by default)."""
    from envgit.show import resolve_shown

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    options = take_diff_options(keywords)
    style = take_text_options(keywords, session)
    shown = [resolve_shown(session.repo, spec) for spec in specs or ("HEAD",)]
    if as_json:
        from ..json_output import write_json
        from ..json_show import shown_fields

        write_json(session.out, {"objects": [shown_fields(item, style) for item in shown]})
        return
    with session.paged() as out:
        for index, item in enumerate(shown):
            if index:
                out.line()
            _write(item, out, style, options, no_patch)


def _write(item: Shown, out: Screen, style: TextOptions, options: DiffOptions, no_patch: bool) -> None:
    from envgit.show import ShownCommit, ShownDirectory, ShownFile, ShownTag

    from ..commit_text import commit_lines
    from ..dates import format_date
    from ..diff_output import write_diff

    if isinstance(item, ShownTag):
        out.line(out.paint("yellow", f"tag {out.safe(item.name)}"))
        if item.tagger:
            out.line(f"Tagger: {out.safe(item.tagger.name)} <{out.safe(item.tagger.email)}>")
            when = format_date(item.tagger.seconds, item.tagger.offset.decode("ascii"), style.date, style.now)
            out.line(f"Date:   {when}")
        out.line()
        out.line(out.safe(item.message).rstrip("\n"))
        out.line()
        _write(item.target, out, style, options, no_patch)
    elif isinstance(item, ShownCommit):
        for line in commit_lines(item.entry, style, out):
            out.line(line)
        if not no_patch:
            if style.format not in ("oneline", "reference"):
                out.line()
            merge = len(item.entry.parents) > 1 and not options.chosen()
            shown_options = options._replace(stat=True) if merge or _is_import(item, options) else options
            write_diff(item.diff.changes, item.diff.reader, shown_options, out)
    elif isinstance(item, ShownDirectory):
        from ..listing import long_listing

        for line in long_listing(((entry.name, entry) for entry in item.entries), out, style.now):
            out.line(line)
    elif isinstance(item, ShownFile):
        _write_file(item, out)


def _is_import(item: Any, options: DiffOptions) -> bool:
    """Whether the commit has no parent: the patch of a whole distribution helps nobody, so its --stat is shown."""
    return not item.entry.parents and not options.chosen()


def _write_file(item: Any, out: Screen) -> None:
    from ..listing import long_listing

    if item.child.entry.type != "f":
        for line in long_listing([(item.path, item.child.entry)], out, 0.0):
            out.line(line)
        return
    for piece in item.reader.iter_content(item.child):
        if out.terminal:
            out.write(out.safe(piece.decode("utf-8", "replace")))
        else:
            out.write_bytes(piece)

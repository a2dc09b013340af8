"""envgit log."""

from __future__ import annotations

import re
from typing import Any

import click

from envgit.errors import UsageError

from ..command import VerbCommand, json_option, revisions_and_paths, verb
from ..completing import complete_revision
from ..diff_options import diff_options, take_diff_options
from ..log_options import take_text_options, text_options
from ..session import Session


class _LogCommand(VerbCommand):
    """Understands git's `-3` for `-n 3`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        dashes = args.index("--") if "--" in args else len(args)
        before = [f"-n{word[1:]}" if re.fullmatch(r"-[0-9]+", word) else word for word in args[:dashes]]
        return super().parse_args(ctx, before + args[dashes:])


@verb("log", cls=_LogCommand)
@click.argument("words", nargs=-1, metavar="[REV...] [-- PATH...]", shell_complete=complete_revision)
@click.option("-n", "--max-count", metavar="N", type=click.IntRange(min=0), help="Show at most N commits; also -N.")
@click.option("--skip", metavar="N", type=click.IntRange(min=0), default=0, help="Leave the first N out.")
@click.option("--since", "--after", metavar="DATE", help="Commits more recent than DATE.")
@click.option("--until", "--before", metavar="DATE", help="Commits older than DATE.")
@click.option("--author", metavar="PATTERN", help="Commits whose author matches.")
@click.option("--grep", metavar="PATTERN", help="Commits whose message matches.")
@click.option("--all", "everything", is_flag=True, help="Begin at every branch and tag.")
@click.option("--first-parent", is_flag=True, help="Follow the first parent of merges only.")
@click.option("--reverse", is_flag=True, help="Oldest first.")
@click.option("--topo-order", is_flag=True, help="Never show a parent before its children.")
@click.option("--graph", is_flag=True, help="Draw the history beside it.")
@text_options
@diff_options
@json_option
@click.pass_context
def log_command(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    max_count: int | None,
    skip: int,
    since: str | None,
    until: str | None,
    author: str | None,
    grep: str | None,
    everything: bool,
    first_parent: bool,
    reverse: bool,
    topo_order: bool,
    graph: bool,
    as_json: bool,
    **keywords: Any,
) -> None:
    """Show commits, newest first: those that REV reaches (HEAD by default), A..B, ^A.

    With PATHs only commits that changed them. --stat, -p and their relatives show what each commit changed.
    """
    from envgit.log import commit_changes, read_log

    session: Session = ctx.obj
    if graph and reverse:
        raise UsageError("--graph and --reverse cannot be used together")
    nul = keywords["nul"]
    keywords["nul"] = nul and (keywords["name_only"] or keywords["name_status"] or keywords["numstat"])
    options = take_diff_options(keywords)
    style = take_text_options(keywords, session)
    revisions, paths = revisions_and_paths(ctx, words)
    repo = session.repo
    entries = read_log(
        repo,
        revisions,
        paths,
        max_count=max_count,
        skip=skip,
        since=since,
        until=until,
        author=author,
        grep=grep,
        first_parent=first_parent,
        all=everything,
        reverse=reverse,
        topo=topo_order or graph,
    )
    if as_json:
        from ..json_log import write_log_json

        write_log_json(session.out, entries, style)
        return
    from ..log_output import write_log

    changes = (lambda entry: commit_changes(repo, entry.oid, paths, options.mtime)) if options.chosen() else None
    with session.paged() as out:
        write_log(entries, style, changes, options, out, graph=graph, nul=nul)

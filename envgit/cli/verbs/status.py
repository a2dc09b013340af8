"""envgit status, and bare `envgit`."""

from __future__ import annotations

import click

from envgit.errors import NotARepository

from ..changes import display_path, letter
from ..command import json_option, revisions_and_paths, verb
from ..session import Session
from ..status_text import following_of, long_lines, next_steps, short_lines


@verb("status")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-s", "--short", is_flag=True, help="One line per change, noise in one line.")
@click.option("--porcelain", is_flag=True, help="One line per change, for scripts; never coloured, no noise line.")
@click.option("-b", "--branch", "show_branch", is_flag=True, help="Name the branch in the short form too.")
@click.option("-z", "nul", is_flag=True, help="End paths with NUL and quote nothing; implies --porcelain.")
@click.option("--mtime", is_flag=True, help="Times of modification count as changes.")
@json_option
@click.pass_context
def status_command(
    ctx: click.Context,
    paths: tuple[str, ...],
    short: bool,
    porcelain: bool,
    show_branch: bool,
    nul: bool,
    mtime: bool,
    as_json: bool,
) -> None:
    """Show what changed in the environment since the last commit.

    Every change will be recorded by the next commit; there is no staging area. Caches, *.pyc files and logs are
    folded into one line, and recorded too unless .envgitignore says otherwise.
    """
    from envgit.status import read_status

    session: Session = ctx.obj
    selected = revisions_and_paths(ctx, ["/" + path for path in paths])[1]
    status = read_status(session.repo, paths=selected, with_mtime=mtime)
    following = following_of(session.repo)
    out = session.out
    if as_json:
        from ..json_status import write_status

        write_status(out, status, following)
    elif nul:
        for change in status.changes:
            out.write_bytes(letter(change).encode("ascii") + b" " + display_path(change) + b"\0")
    elif short or porcelain:
        if porcelain:
            out.color = False
        for line in short_lines(status, out, branch=show_branch, noise=not porcelain):
            out.line(line)
    else:
        for line in long_lines(status, out, following):
            out.line(line)


def show_overview(session: Session) -> int:
    """Print the state and what to type next; outside a repository, how to begin."""
    out = session.out
    try:
        repo = session.repo
    except NotARepository:
        out.line("This is not an envgit repository yet. To begin:")
        out.line()
        steps = [
            ("envgit init lab --from host", "a root filesystem from this machine's distribution"),
            ("envgit init lab --from tar:FILE", "from an archive (docker export, debootstrap, ...)"),
            ("envgit --help", "all commands"),
        ]
        _write_steps(session, steps)
        return 0
    from envgit.status import read_status

    status = read_status(repo)
    following = following_of(repo)
    for line in long_lines(status, out, following):
        out.line(line)
    out.line()
    out.line("Next:")
    _write_steps(session, next_steps(status))
    return 0


def _write_steps(session: Session, steps: list[tuple[str, str]]) -> None:
    width = max(len(command) for command, _ in steps)
    for command, purpose in steps:
        session.out.line(f"    {session.out.paint('bold', command.ljust(width))}   {purpose}")

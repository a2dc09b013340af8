"""Verbs that take several sandboxes: each is done, each failure is said, and one failure makes the exit status 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from envgit.errors import EnvgitError

from .session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

FAILED_STATUS = 1


def for_each(session: Session, words: Iterable[str], act: Callable[[str], str | None]) -> int:
    """Call `act` with each word and print what it returns; return the exit status."""
    status = 0
    for word in words:
        try:
            shown = act(word)
        except EnvgitError as error:
            session.out.flush()
            session.fail(error)
            status = FAILED_STATUS
            continue
        if shown is not None:
            session.out.line(session.out.safe(shown))
            session.out.flush()
    return status


def names_argument(required: bool = True) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """The argument NAME... of such a verb."""
    return click.argument("names", nargs=-1, required=required, metavar="NAME...", shell_complete=complete_sandbox)


def complete_sandbox(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Names of recorded sandboxes. Never fails: a shell that completes shows no errors."""
    import os

    from click.shell_completion import CompletionItem

    from envgit.sandbox.registry import iter_records

    session = Session()
    try:
        for directory in ctx.find_root().params.get("directories") or ():
            os.chdir(directory)
        return [
            CompletionItem(record.name) for record in iter_records(session.repo) if record.name.startswith(incomplete)
        ]
    except (EnvgitError, OSError):
        return []

"""The options that say how commits are written, shared by log and show."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from envgit.signing.verdict import Verdict

    from .commit_text import TextOptions
    from .session import Session

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--oneline", is_flag=True, help="One line per commit; --format=oneline --abbrev-commit."),
    click.option(
        "--format",
        "--pretty",
        "format",
        metavar="FORMAT",
        help="oneline, short, medium, full, fuller, reference, raw, or placeholders as git has them: '%h %s'.",
    ),
    click.option("--date", metavar="FORMAT", default="default", help="iso, short, relative, raw, unix, format:..."),
    click.option("--abbrev-commit", is_flag=True, help="Print short ids."),
    click.option("--no-decorate", is_flag=True, help="Do not name branches and tags."),
    click.option("--show-signature", is_flag=True, help="Check each commit's signature and say whose it is."),
)


def text_options(command: Decorated) -> Decorated:
    """Add the options to a verb; it gets them as keywords for `take_text_options`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def _verdict_reader(session: Session) -> Callable[[str], Verdict]:
    """Return what checks a commit's signature; nothing is imported before the first."""

    def read(oid: str) -> Verdict:
        from envgit.verify import read_verdict

        return read_verdict(session.repo, oid)

    return read


def take_text_options(keywords: dict[str, Any], session: Session) -> TextOptions:
    """Move the options out of a verb's keywords."""
    from .commit_text import TextOptions, parse_format
    from .dates import check_date_format

    oneline = keywords.pop("oneline")
    chosen = keywords.pop("format")
    abbreviate = keywords.pop("abbrev_commit") or oneline
    return TextOptions(
        format=parse_format(chosen) if chosen else "oneline" if oneline else "medium",
        date=check_date_format(keywords.pop("date")),
        abbreviate=abbreviate,
        decorate=not keywords.pop("no_decorate"),
        now=time.time(),
        shorten=session.repo.short,
        read_verdict=_verdict_reader(session),
        show_signature=keywords.pop("show_signature"),
    )

"""envgit gc."""

from __future__ import annotations

from typing import Any

import click

from envgit.errors import UsageError

from ..command import dry_run_option, json_option, quiet_option, refuse_words_after_dashes, verb
from ..escape import count_of, human_bytes
from ..session import Session


@verb("gc")
@click.option("--aggressive", is_flag=True, help="Take longer, store smaller.")
@click.option("--prune", metavar="WHEN", help="`now`: drop everything unreachable; `N` or `N.days`: older than N days.")
@dry_run_option
@quiet_option
@json_option
@click.pass_context
def gc_command(
    ctx: click.Context, aggressive: bool, prune: str | None, dry_run: bool, quiet: bool, as_json: bool
) -> None:
    """Pack objects, drop cached layers that nobody used for long, and what can no longer be undone to.

    What operations of the last 30 days left behind is kept, so that they can be undone.
    """
    from envgit.gc import collect_garbage

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    days, now = _days(prune)
    report = collect_garbage(session.repo, dry_run=dry_run, aggressive=aggressive, keep_days=days, prune_now=now)
    if as_json:
        from ..json_output import write_json

        write_json(session.out, _plain(report._asdict()))
    elif not quiet:
        would = "would free" if dry_run else "freed"
        session.out.line(f"packs: {report.packs_before} -> {report.packs_after}")
        for number, noun, plural in (
            (len(report.layers_removed), "cached layer", None),
            (len(report.uppers_removed), "set of changes that was set aside", "sets of changes that were set aside"),
            (len(report.sandboxes_removed), "leftover of a sandbox", "leftovers of sandboxes"),
            (len(report.kept_removed), "commit that no branch reaches", "commits that no branch reaches"),
            (report.operations_removed, "old operation", None),
            (len(report.shared_removed), "shared pack that no project uses", "shared packs that no project uses"),
        ):
            if number:
                session.out.line(f"{'would remove' if dry_run else 'removed'} {count_of(number, noun, plural)}")
        session.out.line(f"{would} {human_bytes(report.bytes_freed)}")


def _days(prune: str | None) -> tuple[int, bool]:
    if prune is None:
        return 30, False
    if prune == "now":
        return 0, True
    number = prune.removesuffix(".ago").removesuffix(".days").removesuffix(".day")
    if not number.isdigit():
        raise UsageError(f"--prune={prune} is neither 'now' nor a number of days", hint="for example --prune=14.days")
    return int(number), False


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

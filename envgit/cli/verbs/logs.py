"""envgit logs."""

from __future__ import annotations

import time

import click

from envgit.errors import UsageError

from ..command import refuse_words_after_dashes, verb
from ..each_sandbox import complete_sandbox
from ..session import Session


@verb("logs")
@click.argument("name", shell_complete=complete_sandbox)
@click.option("-f", "--follow", is_flag=True, help="Go on until the sandbox ends.")
@click.option("-n", "--tail", metavar="N", default="all", help="The last N lines only.")
@click.option("--since", metavar="WHEN", help="From then on: 10m, 1h30m, a date, or seconds since 1970.")
@click.option("--until", metavar="WHEN", help="Until then.")
@click.option("-t", "--timestamps", is_flag=True, help="With the time of each line.")
@click.pass_context
def logs_command(
    ctx: click.Context, name: str, follow: bool, tail: str, since: str | None, until: str | None, timestamps: bool
) -> None:
    """Print what a sandbox's programs wrote, to standard output and standard error as they did.

    What they wrote is passed on as it is, also to a terminal.
    """
    from envgit.exec.reactor import write_all
    from envgit.sandbox.liveness import monitor_pid
    from envgit.sandbox.log_line import format_time
    from envgit.sandbox.logs import LogQuery, follow_log
    from envgit.sandbox.registry import find_sandbox, sandbox_folder

    from ..moments import parse_moment

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    now = time.time_ns()
    query = LogQuery(
        tail=_count(tail),
        since_ns=parse_moment(since, now) if since else 0,
        until_ns=parse_moment(until, now) if until else None,
    )
    found = find_sandbox(session.repo, name)
    begins = {"stdout": True, "stderr": True}
    lines = follow_log(
        sandbox_folder(session.repo, found.id), query, lambda: follow and bool(monitor_pid(session.repo, found.id))
    )
    for line in lines:
        prefix = format_time(line.time_ns).encode() + b" " if timestamps and begins[line.stream] else b""
        begins[line.stream] = line.whole
        text = prefix + line.text + (b"\n" if line.whole else b"")
        if line.stream == "stderr":
            session.out.flush()
            write_all(2, text)
            continue
        session.out.write_bytes(text)
        if follow:
            session.out.flush()


def _count(text: str) -> int | None:
    if text in ("all", "-1"):
        return None
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"--tail {text}: not a number of lines", hint="--tail 100, or --tail all")
    return int(text)

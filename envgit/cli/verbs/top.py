"""envgit top and stats."""

from __future__ import annotations

import time

import click

from ..command import json_option, refuse_words_after_dashes, verb
from ..each_sandbox import complete_sandbox
from ..escape import human_bytes
from ..json_output import bytes_fields, write_json
from ..sandbox_text import shown_command, table
from ..session import Session

_NS = 1_000_000_000
_PAUSE_SECONDS = 1.0
_SHORT_PAUSE_SECONDS = 0.25
_CLEAR = "\x1b[H\x1b[2J"


@verb("top")
@click.argument("name", shell_complete=complete_sandbox)
@json_option
@click.pass_context
def top_command(ctx: click.Context, name: str, as_json: bool) -> None:
    """List the processes of a running sandbox; ids are those inside."""
    from envgit.sandbox.processes import read_processes

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    processes = read_processes(session.repo, name)
    if as_json:
        rows = [
            {**process._asdict(), "command": [bytes_fields("word", word) for word in process.command]}
            for process in processes
        ]
        write_json(session.out, {"processes": rows})
        return
    lines = [
        (
            str(process.pid),
            str(process.parent),
            str(process.uid),
            process.state,
            f"{process.cpu_ns / _NS:.2f}s",
            human_bytes(process.resident_bytes),
            session.out.safe(
                shown_command(tuple(word.decode("utf-8", "surrogateescape") for word in process.command), whole=True)
            ),
        )
        for process in processes
    ]
    for line in table(("PID", "PPID", "UID", "S", "CPU", "MEMORY", "COMMAND"), lines):
        session.out.line(line)


@verb("stats")
@click.argument("names", nargs=-1, metavar="[NAME...]", shell_complete=complete_sandbox)
@click.option("--no-stream", is_flag=True, help="Look once.")
@json_option
@click.pass_context
def stats_command(ctx: click.Context, names: tuple[str, ...], no_stream: bool, as_json: bool) -> None:
    """Show what running sandboxes use, every second.

    FROM says where the numbers are from: the sandbox's control group counts everything; without one they are summed over its
    processes, so that memory they share counts for each.
    """
    from envgit.sandbox.registry import find_sandbox
    from envgit.sandbox.usage import Sample, cpu_percent, sample_all

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    ids = frozenset(find_sandbox(session.repo, name).id for name in names) if names else None
    before: dict[str, Sample] = {each.id: each for each in sample_all(session.repo, ids)}
    while True:
        time.sleep(_SHORT_PAUSE_SECONDS if no_stream or as_json else _PAUSE_SECONDS)
        now = sample_all(session.repo, ids)
        shares = {each.id: cpu_percent(before.get(each.id), each) for each in now}
        if as_json:
            write_json(
                session.out, {"stats": [{**each._asdict(), "cpu_percent": round(shares[each.id], 2)} for each in now]}
            )
            return
        lines = [
            (
                each.id,
                session.out.safe(each.name),
                f"{shares[each.id]:.2f}%",
                human_bytes(each.memory_bytes),
                human_bytes(each.memory_limit_bytes) if each.memory_limit_bytes else "-",
                str(each.pids),
                f"{human_bytes(each.read_bytes)} / {human_bytes(each.written_bytes or 0)}"
                if each.read_bytes is not None
                else "-",
                each.source,
            )
            for each in now
        ]
        if not no_stream and session.stdout_is_terminal:
            session.out.write(_CLEAR)
        for line in table(("SANDBOX ID", "NAME", "CPU", "MEMORY", "LIMIT", "PIDS", "BLOCK I/O", "FROM"), lines):
            session.out.line(line)
        session.out.flush()
        if no_stream:
            return
        before = {each.id: each for each in now}

"""envgit op."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from ..command import json_option, verb
from ..session import Session

if TYPE_CHECKING:
    from envgit.operation_log import OperationEntry

    from ..screen import Screen


@click.group("op", context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.pass_context
def op_command(ctx: click.Context) -> None:
    """Look at the log of operations: every command that changed the repository."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(op_log_command, limit=None, date="relative", as_json=False)


@verb("log")
@click.option("-n", "--max-count", "limit", metavar="N", type=click.IntRange(min=0), help="Show at most N.")
@click.option("--date", metavar="FORMAT", default="relative", help="As git log has it; relative by default.")
@json_option
@click.pass_obj
def op_log_command(session: Session, limit: int | None, date: str, as_json: bool) -> None:
    """Show operations, newest first; `envgit undo NUMBER` takes one back."""
    from envgit.operation_log import read_operations

    from ..dates import check_date_format

    check_date_format(date)
    operations = read_operations(session.repo, limit)
    if as_json:
        from ..json_output import write_json

        write_json(session.out, {"operations": [_fields(operation) for operation in operations]})
        return
    with session.paged() as out:
        for operation in operations:
            _write(operation, out, date)


op_command.add_command(op_log_command)


def _write(operation: OperationEntry, out: Screen, date: str) -> None:
    from ..dates import format_date
    from ..operation_text import head_text, ref_line

    mark = "@" if operation.current else "*"
    when = format_date(operation.time, operation.offset, date, time.time())
    out.line(f"{mark} {out.paint('yellow', str(operation.number))} {when}: envgit {out.safe(operation.command)}")
    for name, old, new in operation.refs:
        out.line(f"      {ref_line(out, name, old, new)}")
    if operation.head and operation.head[0] != operation.head[1]:
        old_head, new_head = (out.safe(head_text(value)) for value in operation.head)
        out.line(f"      HEAD {old_head} -> {new_head}")


def _fields(operation: OperationEntry) -> dict[str, Any]:
    return {
        "number": operation.number,
        "time": operation.time,
        "offset": operation.offset,
        "command": operation.command,
        "refs": [{"name": name, "old": old, "new": new} for name, old, new in operation.refs],
        "head": {"old": operation.head[0], "new": operation.head[1]} if operation.head else None,
        "current": operation.current,
    }
